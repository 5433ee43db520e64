// What every explorer of one model shares: a model, a text, a place in it, and what the model made of it.

import { guesses, LONGEST, openModel, runModel, tokenize } from "./model.js";
import { isTrace, openTrace } from "./trace.js";
import { fromBase64 } from "./safetensors.js";
import { bound, chooser, h, MIXER_LOOKS, modelLabel, number, shown } from "./view.js";

export const EXAMPLES = {
  recall: [["recall", "aKbTcMdR a c b d"], ["overwriting", "aKbTaMbRaX cD a b c"],
    ["ten pairs", "aKbTcMdReXfDgHhJiLjP a c e g i"], ["a sentence", "the cat sat on the mat"]],
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

/** The source of a model whose script the page left until somebody asks for it. */
const brought = (name, later) => new Promise((resolve, reject) => {
  const here = () => globalThis.hmlModels?.[name], failed = () => reject(new Error(`${modelLabel(name)} could not be loaded from ${later}.`));
  document.head.append(h("script", {src: later, load: () => (here() ? resolve(here()) : failed()), error: failed}));
});

/** The state of an explorer over `sources` (name → {weights, alphabet}); opens each model when it is asked for. */
export class Reader {
  constructor(sources, {model, text, at} = {}) {
    this.sources = sources;
    this.opened = {};
    this.knobs = {};
    this.error = "";
    this.name = sources[model] ? model : Object.keys(sources)[0];
    this.text = text ?? EXAMPLES.recall[0][1];
    this.at = at ?? Infinity;
    this.read();
  }

  get model() {
    const {weights, alphabet} = this.sources[this.name];
    const open = () => {
      const buffer = fromBase64(weights);
      return isTrace(buffer) ? openTrace(buffer, this.name) : openModel(buffer, alphabet, this.name);
    };
    return (this.opened[this.name] ??= open());
  }

  get task() { return this.sources[this.name].task; }

  get look() { return MIXER_LOOKS[this.run?.model.mixer] ?? MIXER_LOOKS.hml; }

  /** Run the model on the text; where that fails, the last picture stays and `error` says why. */
  read() {
    try {
      const {model} = this;
      if (model.trace) return this.show(model);
      const tokens = tokenize(model, this.text), run = runModel(model, tokens, this.knobs);
      if (!run.logits.at(-1).every(Number.isFinite)) {
        throw new Error("The memory has grown beyond all numbers: take a smaller time step or more friction.");
      }
      this.run = {model, tokens, characters: [...this.text], ...run};
      this.right = answers(this.task, this.run.characters);
      this.error = "";
    } catch (error) {
      this.error = error.message;
    }
    this.at = bound(this.at, 0, (this.run?.tokens.length ?? 1) - 1);
    return !this.error;
  }

  /** A saved trace, which has its text and its numbers, instead of a run. */
  show(model) {
    this.run = {model, tokens: model.trace.characters, ...model.trace};
    this.right = answers(this.task, this.run.characters);
    this.error = "";
    this.at = bound(this.at, 0, this.run.tokens.length - 1);
    return true;
  }

  guess(t) { return guesses(this.run.model, this.run, t, 1)[0]; }
}

/** Model, text, examples, tokens and the scrubber; `changed(what)` is told "run" or "at". */
export function readerControls(reader, changed) {
  const error = h("div", {class: "error", role: "alert", hidden: true});
  const type = h("input", {
    type: "text", value: reader.text, maxlength: LONGEST + 20, spellcheck: "false", autocomplete: "off",
    autocapitalize: "off", "aria-label": "Text that the memory reads", input: () => again({text: type.value}),
  });
  const examples = h("span", {class: "bar", style: "margin:0"});
  const tokens = h("div", {class: "tokens", role: "group", "aria-label": "Tokens; under each, what the model answers"});
  const scrub = h("input", {
    type: "range", class: "scrub", min: 0, step: 1, "aria-label": "Token that is being read",
    input: () => move(Number(scrub.value)),
  });
  let timer = null;
  const play = h("button", {type: "button", "aria-pressed": "false", click: () => (timer ? stop() : begin())}, "▶ Play");
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.setAttribute("aria-pressed", "false");
    play.textContent = "▶ Play";
  };
  const begin = () => {
    if (!reader.run) return;
    if (reader.at >= reader.run.tokens.length - 1) move(0);
    play.setAttribute("aria-pressed", "true");
    play.textContent = "❚❚ Pause";
    timer = setInterval(() => (reader.at < reader.run.tokens.length - 1 ? move(reader.at + 1) : stop()), 450);
  };
  const several = Object.keys(reader.sources).length > 1;
  const models = chooser("Model", Object.keys(reader.sources).map((name) => [name, modelLabel(name)]), reader.name,
    (name) => again({name}));

  function bring(name) {
    brought(name, reader.sources[name].later).then((source) => {
      reader.sources[name] = source;
      if (models.select.value === name) again({name});
    }, ({message}) => {
      models.select.value = reader.name;
      reader.error = message;
      refresh();
    });
  }

  function again({text = reader.text, name = reader.name}) {
    if (reader.sources[name].later) {
      bring(name);
      return;
    }
    const task = reader.task, atEnd = reader.at >= (reader.run?.tokens.length ?? 1) - 1;
    Object.assign(reader, {text, name, at: atEnd || text !== reader.text ? Infinity : reader.at});
    const other = reader.sources[name].task;
    if (other !== task && EXAMPLES[other] && !reader.sources[name].alphabet.includes([...text][0])) {
      reader.text = type.value = EXAMPLES[other][0][1];
    }
    reader.read();
    refresh();
    changed("run");
  }

  function move(t) {
    if (!reader.run) return;
    reader.at = bound(t, 0, reader.run.tokens.length - 1);
    place();
    changed("at");
  }

  function place() {
    scrub.value = reader.at;
    const c = reader.run.characters[reader.at];
    scrub.setAttribute("aria-valuetext", `token ${reader.at + 1} of ${reader.run.tokens.length}, ${shown(c)}`);
    [...tokens.children].forEach((cell, t) => {
      cell.setAttribute("aria-current", t === reader.at);
      cell.classList.toggle("later", t > reader.at);
    });
  }

  function cell(c, t) {
    return h("button", {
      type: "button", click: () => move(t),
      keydown: (event) => {
        const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
        if (!by) return;
        event.preventDefault();
        move(t + by);
        tokens.children[reader.at].focus();
      },
    }, shown(c), h("small", {}));
  }

  /** What the model answers at a token: plain where nobody asked, with ✓ or ✗ where something is right. */
  function answer(element, t) {
    const {character, probability} = reader.guess(t), right = reader.right[t], small = element.lastChild;
    const verdict = right === null ? "" : character === right ? "right" : "wrong";
    small.className = verdict;
    small.textContent = shown(character) + {right: " ✓", wrong: " ✗", "": ""}[verdict];
    small.style.opacity = verdict ? 1 : 0.25 + 0.5 * probability;
    element.title = `answers ${shown(character)} with probability ${number(probability)}`;
    element.setAttribute("aria-label", `token ${t + 1}, ${shown(reader.run.characters[t])}; the model ${element.title}`);
  }

  function refresh() {
    error.hidden = !reader.error;
    error.textContent = reader.error;
    type.setAttribute("aria-invalid", Boolean(reader.error));
    if (!reader.run) return;
    type.readOnly = Boolean(reader.run.model.trace); // a trace has its text
    if (type.readOnly) type.value = reader.run.characters.join("");
    scrub.max = reader.run.tokens.length - 1;
    const same = tokens.dataset.text === reader.run.characters.join("");
    if (!same) tokens.replaceChildren(...reader.run.characters.map(cell));
    tokens.dataset.text = reader.run.characters.join("");
    [...tokens.children].forEach(answer);
    if (examples.dataset.task !== reader.task) {
      examples.dataset.task = reader.task;
      const known = EXAMPLES[reader.task] ?? [];
      examples.replaceChildren(known.length ? "Try " : "", ...known.map(([name, text]) => h("button", {
        type: "button", click: () => { type.value = text; again({text}); },
      }, name)));
    }
    place();
  }

  refresh();
  const first = h("div", {class: "bar"}, ...(several ? [models.element] : []), h("label", {style: "flex:1 1 16rem"}, "Text", type));
  const second = h("div", {class: "bar"}, play, examples);
  return {elements: [first, second, error, tokens, scrub], again, move, refresh, tokens, stop, type, models};
}
