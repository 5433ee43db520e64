// Superposed bindings: what the op does to one sum of pairs, and how often such a sum is read right.

import { dot, vector } from "./arrays.js";

/** Uniform numbers in [0, 1) that a seed fixes (mulberry32). */
export function randomBy(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** e^{±iφ} ∘ x: neighbouring numbers of x [D] are one complex number, φ [D/2] in radians; sign 1 binds, −1 unbinds. */
export function boundBy(phases, x, sign = 1) {
  const y = vector(x.length);
  for (let j = 0; j < phases.length; j++) {
    const c = Math.cos(phases[j]), s = sign * Math.sin(phases[j]);
    y[2 * j] = c * x[2 * j] - s * x[2 * j + 1];
    y[2 * j + 1] = s * x[2 * j] + c * x[2 * j + 1];
  }
  return y;
}

/** Products of a read with each of the known values, over D: near 1 for the right one. */
export const likenesses = (codebook, read) => codebook.map((value) => dot(value, read) / read.length);

export const largest = (list) => list.reduce((best, x, i) => (x > list[best] ? i : best), 0);

export const randomSigns = (count, channels, random) =>
  Array.from({length: count}, () => Float64Array.from({length: channels}, () => (random() < 0.5 ? -1 : 1)));

export const randomPhases = (channels, random) => Float64Array.from({length: channels / 2}, () => 2 * Math.PI * random());

/** Φ(x): a sum of positive terms on the right half (Marsaglia, 2004), its mirror on the left. */
export function normalBelow(x) {
  if (Math.abs(x) > 9) return x > 0 ? 1 : 0;
  const a = Math.abs(x);
  let term = a, sum = a;
  for (let k = 3; term > 1e-18 * sum; k += 2) sum += term *= (a * a) / k;
  const half = (sum * Math.exp(-0.5 * a * a)) / Math.sqrt(2 * Math.PI);
  return x > 0 ? 0.5 + half : 0.5 - half;
}

/** P(D, N, K) = ∫ φ(x − √(D/N)) Φ(x)^{K−1} dx: the share of right answers, as hmlcore.studies.kit.superposition has it. */
export function recallLaw(channels, pairs, values, steps = 900) {
  const signal = Math.sqrt(channels / pairs), reach = 9, each = (2 * reach) / steps;
  let sum = 0;
  for (let i = 0; i <= steps; i++) {
    const z = -reach + i * each, below = Math.max(0, normalBelow(z + signal));
    sum += (i && i < steps ? 1 : 0.5) * Math.exp(-0.5 * z * z) * below ** (values - 1);
  }
  return (sum * each) / Math.sqrt(2 * Math.PI);
}

/** The share of right answers over at least `reads` of sums of N random pairs, among the values of a codebook. */
export function measuredRecall(codebook, pairs, reads, random) {
  const channels = codebook[0].length;
  let right = 0, done = 0;
  while (done < reads) {
    const keys = [], which = [], sum = vector(channels);
    for (let i = 0; i < pairs; i++) {
      keys.push(randomPhases(channels, random));
      which.push(Math.floor(random() * codebook.length));
      boundBy(keys[i], codebook[which[i]]).forEach((y, c) => { sum[c] += y; });
    }
    for (let i = 0; i < pairs && done < reads; i++, done++) {
      right += largest(likenesses(codebook, boundBy(keys[i], sum, -1))) === which[i];
    }
  }
  return right / done;
}
