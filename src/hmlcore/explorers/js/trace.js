// A saved trace: what one layer of some model did on one text (hmlcore.explorers.saved_trace), to look at alone.

import { runHead } from "./recurrence.js";
import { readSafetensors } from "./safetensors.js";

const TRACE = "hmlcore trace 1";
export const isTrace = (buffer) => readSafetensors(buffer).metadata.format === TRACE;

/** Entry t, h of a tensor [T, H, ...] as rows of `width` numbers, or as one row. */
const entry = ({shape, data}, t, h) => {
  const size = shape.slice(2).reduce((all, n) => all * n, 1), start = (t * shape[1] + h) * size;
  return data.slice(start, start + size);
};
const square = (x) => (x.length === 1 ? [[x[0]]] : [[x[0], x[1]], [x[2], x[3]]]);

/** What a token did to head h, as hmlcore's recurrences have it; friction and angle follow from the push. */
function token(tensors, t, h) {
  const at = (name) => entry(tensors[name], t, h), [alpha] = at("alpha"), [beta] = at("beta"), G = square(at("move"));
  const e = [...at("push")], [turn] = at("turn"), own = e.length === 1
    ? {rho: Math.hypot(1 - e[0], turn), theta: Math.atan2(-turn, 1 - e[0])} : {gamma: G[1][1] / alpha};
  return {k: at("key"), r: at("query"), v: at("value"), alpha, beta, G, c: [...at("reach")], e, f: [...at("read")], turn, ...own};
}

/** The trace in an ArrayBuffer, in the place of a model and of its run. */
export function openTrace(buffer, name = "") {
  const {metadata, tensors} = readSafetensors(buffer), [length, heads] = tensors.key.shape;
  const block = {
    heads: Array.from({length: heads}, (_, h) => {
      const tokens = Array.from({length}, (_, t) => token(tensors, t, h));
      return {tokens, ...runHead(tokens)};
    }),
  };
  if (tensors.phase) {
    const [, rotors] = tensors.phase.shape;
    block.phases = Array.from({length}, (_, t) => tensors.phase.data.slice(t * rotors, (t + 1) * rotors));
    block.lattice = [...tensors.lattice.data];
  }
  const guesses = JSON.parse(metadata.guesses).map((row) => row.map(([character, probability]) => ({character, probability})));
  return {name, mixer: metadata.mixer, spec: {}, alphabet: [], trace: {characters: JSON.parse(metadata.tokens), guesses, blocks: [block]}};
}
