// Texts to try, a few for each task, and what is right after each of their tokens.

export const SENTENCES = "hml-text"; // the model that reads any text
export const EXAMPLES = {
  recall: [["recall", "aKbTcMdR a c b d"], ["overwriting", "aKbTaMbRaX cD a b c"],
    ["ten pairs", "aKbTcMdReXfDgHhJiLjP a c e g i"]],
  text: [["a sentence", "The captain looked at the sea, and the captain said that the sea was calm."],
    ["a rhyme", "Humpty Dumpty sat on a wall, Humpty Dumpty had a great fall."],
    ["nothing twice", "Big fjords vex quick waltz nymph."]],
  slots: [["cats", "the cat sat on the mat, the dog sat on the cat and the mat"], ["pairs", "aKbTcMdReXfD aKbTcMdReXfD a c e"],
    ["a rare guest", "banana banana banana Quiz banana banana Quiz banana"]],
  sums: [["ones", "1111111111111"], ["mixed", "35026143501264"], ["threes", "33333333333333"]],
};

/** What is right after each token, where the task says so: the newest value of a key, or the sum so far. */
export function answers(task, characters) {
  if (task === "sums") {
    let sum = 0;
    return characters.map((c) => { sum = (sum + Number(c)) % 7; return String(sum); });
  }
  if (task !== "recall") return characters.map(() => null);
  const known = {}, isKey = (c) => c >= "a" && c <= "z", isValue = (c) => c >= "A" && c <= "Z";
  return characters.map((c, t) => {
    if (isValue(c) && isKey(characters[t - 1] ?? "")) known[characters[t - 1]] = c;
    return isKey(c) && !isValue(characters[t + 1] ?? "") && known[c] ? known[c] : null;
  });
}

const isExample = (text) => Object.values(EXAMPLES).flat().some((example) => example[1] === text);

/** The text for a model that is chosen in another's place: what somebody typed, if it reads that; else its first example. */
export function textFor({task, alphabet}, before, text) {
  const reads = task === "text" || [...text].every((c) => alphabet.includes(c));
  return task !== before && EXAMPLES[task] && (!reads || isExample(text)) ? EXAMPLES[task][0][1] : text;
}
