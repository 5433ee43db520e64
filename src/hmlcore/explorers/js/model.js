// A trained model: opened from its file, and run on a text with everything that its memories did.

import { linear, rmsNorm, silu, softmax, sumOf } from "./arrays.js";
import { checkMixer, runMixer } from "./mixers.js";
import { readSafetensors } from "./safetensors.js";

const FORMAT = "hmlcore model 1";
export const LONGEST = 96; // tokens: beyond that a map of tokens cannot be read
const BYTES = 256; // characters of an alphabet that stand for bytes, by which any text is read, as UTF-8

/** The model in an ArrayBuffer; `alphabet` has the character of each token. */
export function openModel(buffer, alphabet, name = "") {
  const {metadata, tensors} = readSafetensors(buffer);
  if (metadata.format !== FORMAT) throw new Error("The file holds no hmlcore model of this version.");
  const {class: kind, backbone: config} = JSON.parse(metadata.config);
  if (kind !== "Backbone") throw new Error(`The file holds a ${kind}; the explorers show language models.`);
  checkMixer(config.mixer, config.mixer_args ?? {});
  for (const [weight, {data}] of Object.entries(tensors)) {
    if (!data.every(Number.isFinite)) {
      throw new Error(`The weight ${weight} holds NaN or infinity: training must have diverged.`);
    }
  }
  if ([...alphabet].length !== config.vocab_size) {
    throw new Error(`The alphabet has ${[...alphabet].length} characters, the model ${config.vocab_size} tokens.`);
  }
  const {spec = {}} = JSON.parse(metadata.extra ?? "{}");
  const bytes = [...alphabet].length === BYTES && [...alphabet].every((c, i) => c.codePointAt(0) === i);
  return {name, config, tensors, spec, alphabet: [...alphabet], mixer: config.mixer, bytes};
}

/** The weights below `path`, as a function of their name there; unknown names throw unless optional. */
function below(model, path) {
  return (name, optional = false) => {
    const found = model.tensors[path + name];
    if (!found && !optional) throw new Error(`The model lacks the weight ${path + name}.`);
    return found;
  };
}

const utf8 = (text) => [...new TextEncoder().encode(text)];

/** The tokens of a text, or an error in words that the reader can act on; `foreign` if it is the characters'. */
export function tokenize(model, text) {
  const characters = [...text], tokens = model.bytes ? utf8(text) : characters.map((c) => model.alphabet.indexOf(c));
  if (!tokens.length) throw new Error("Type something: the memory is empty until it has read a character.");
  if (tokens.length > LONGEST) {
    throw new Error(`The text has ${tokens.length} ${model.bytes ? "bytes" : "characters"}; at most ${LONGEST} fit this picture.`);
  }
  const unknown = [...new Set(characters.filter((_, i) => tokens[i] < 0))];
  if (unknown.length) {
    const known = model.alphabet.join("").replace("abcdefghijklmnopqrstuvwxyz", "a–z ")
      .replace("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "A–Z ").replace(/^ /, "space, ");
    const words = `This model has not learned ${unknown.map((c) => `“${c}”`).join(", ")}; it reads ${known.trim().replace(/\.$/, "and “.”")}.`;
    throw Object.assign(new Error(words), {foreign: true});
  }
  return tokens;
}

/** What stands on the page for each token of a text; of a character of several bytes, · for all but the first. */
export function spelled(model, text) {
  return model.bytes ? [...text].flatMap((c) => [c, ...utf8(c).slice(1).fill("·")]) : [...text];
}

/** What stands on the page for one token alone: a byte that is no character by itself has its number, in hex. */
export function spell(model, token) {
  const alone = !model.bytes || (token > 31 && token < 127) || token === 10;
  return alone ? model.alphabet[token] : token.toString(16).padStart(2, "0").toUpperCase();
}

/** Run a model on tokens: {logits, probabilities, blocks}, blocks as their mixers trace them. */
export function runModel(model, tokens, knobs = {}) {
  const {d_model, layers, mixer, mixer_args} = model.config, embedding = model.tensors["embedding.weight"];
  let xs = tokens.map((token) => embedding.data.slice(token * d_model, (token + 1) * d_model));
  const blocks = [];
  for (let i = 0; i < layers; i++) {
    const weights = below(model, `blocks.${i}.`), own = below(model, `blocks.${i}.mixer.`);
    const normed = xs.map((x) => rmsNorm(x, weights("mixer_norm.weight").data));
    const out = runMixer(mixer, own, mixer_args ?? {}, normed, d_model, knobs);
    blocks.push(out);
    xs = xs.map((x, t) => {
      const y = sumOf(x, out.ys[t]), inner = rmsNorm(y, weights("mlp_norm.weight").data);
      const both = linear(weights("mlp.up.weight"), inner), half = both.length / 2;
      const gated = both.subarray(half).map((value, j) => silu(both[j]) * value);
      return sumOf(y, linear(weights("mlp.down.weight"), gated));
    });
  }
  const gain = model.tensors["norm.weight"].data;
  const logits = xs.map((x) => linear(embedding, rmsNorm(x, gain)));
  return {logits, probabilities: logits.map(softmax), blocks};
}

/** The most probable characters after token t: [{character, probability}], the best first. */
export function guesses(model, run, t, count = 3) {
  if (run.guesses) return run.guesses[t].slice(0, count);
  const all = run.probabilities[t], found = [];
  for (let rank = 0; rank < count; rank++) { // a few of many: a sort would take longer than the model
    let best = -1;
    for (let i = 0; i < all.length; i++) if (!found.includes(i) && (best < 0 || all[i] > all[best])) best = i;
    if (best >= 0) found.push(best);
  }
  return found.map((i) => ({character: spell(model, i), probability: all[i]}));
}
