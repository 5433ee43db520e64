// What each past token can still be read as: exact, because the memory is linear in what was written.
//
// What token s wrote is e_s ⊗ k_s v_sᵀ. Every later token maps it on as it maps the state, so at time t it is
// a_{t,s} ⊗ v_s with a_{s,s} = e_s ⊗ k_s and a ← G a − e ⊗ k cᵀ(kᵀa): a vector of keys with p rows, complex
// where pairs of values turn. A read at r returns Σ_s w_{t,s} v_s, w_{t,s} = fᵀ(rᵀ a_{t,s}).

import { dot, vector } from "./arrays.js";
import { turned } from "./recurrence.js";

function written(token) {
  return {
    re: token.e.map((e) => token.k.map((k) => e * k)),
    im: token.e.map((_, p) => (p ? vector(token.k.length) : token.k.map((k) => token.turn * k))),
  };
}

function mapped(token, {re, im}) {
  const {G, c, e, k, turn} = token, rows = e.length;
  const found = (part) => c.reduce((sum, share, p) => sum + share * dot(k, part[p]), 0);
  const zr = found(re), zi = turn || im[0].some(Boolean) ? found(im) : 0;
  const move = (part, p, n) => G[p][p] * part[p][n] + (rows === 2 && p === 0 ? G[0][1] * part[1][n] : 0);
  const next = {re: [], im: []};
  for (let p = 0; p < rows; p++) {
    const wr = e[p] * zr - turn * zi, wi = turn * zr + e[p] * zi;
    next.re.push(k.map((key, n) => move(re, p, n) - wr * key));
    next.im.push(zi || wi ? k.map((key, n) => move(im, p, n) - wi * key) : im[p]);
  }
  return next;
}

const weigh = (a, r, f) => ({
  re: f.reduce((sum, share, p) => sum + share * dot(r, a.re[p]), 0),
  im: f.reduce((sum, share, p) => sum + share * dot(r, a.im[p]), 0),
});

/** Of one head: `weights[t][s]` {re, im} with t's own query, and `held[t][s]` |·| with s's own key. */
export function readBack(tokens) {
  const weights = [], held = [], traces = [];
  tokens.forEach((token, t) => {
    for (let s = 0; s < t; s++) traces[s] = mapped(token, traces[s]);
    traces.push(written(token));
    weights.push(traces.map((a) => weigh(a, token.r, token.f)));
    held.push(traces.map((a, s) => { const w = weigh(a, tokens[s].k, token.f); return Math.hypot(w.re, w.im); }));
  });
  return {weights, held};
}

/** How much of each token's write is held after token t, at its own key: held[t][s], the mean over `heads`. */
export function heldOver(heads) {
  const maps = heads.map(({tokens}) => readBack(tokens).held);
  return maps[0].map((row, t) => row.map((_, s) => maps.reduce((sum, held) => sum + held[t][s], 0) / maps.length));
}

/** What of token s comes back at t: w_{t,s} v_s. */
export const returned = (weight, value) => turned(weight.re, weight.im, value);

/** The share of each past token in what is read at t over several heads: Σ_s = 1; below 0 it works against it. */
export function shares(heads, maps, t) {
  const length = t + 1, found = vector(length);
  let total = 0;
  heads.forEach((head, h) => {
    const o = head.reads[t];
    total += dot(o, o);
    for (let s = 0; s < length; s++) found[s] += dot(returned(maps[h].weights[t][s], head.tokens[s].v), o);
  });
  return found.map((value) => value / Math.max(total, 1e-300));
}

/** What became of each token's write at step t: {forgotten, overwritten}, in units of `held`, for s < t. */
export function losses(tokens, held, t) {
  const alpha = tokens[t].alpha;
  return held[t].slice(0, t).map((now, s) => {
    const before = held[t - 1][s];
    return {forgotten: (1 - alpha) * before, overwritten: alpha * before - now};
  });
}
