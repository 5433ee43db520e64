// One head of a matrix memory: what a token does to it, whatever the dynamics.
//
//     z = cᵀ(kᵀS) − v,   S ← (G ⊗ I) S − e ⊗ k zᵀ,   o = fᵀ(rᵀS)
//
// A token is {k, r, v, alpha, beta, G, c, e, f, turn}: rows p = 1 or 2; G is [[g11, g12], [0, g22]];
// `turn` is the imaginary part of e, by which pairs of value channels turn (one row only).

import { vector } from "./arrays.js";

/** kᵀS for one row S [N, D]. */
export function address(k, row, width) {
  const found = vector(width);
  for (let n = 0; n < k.length; n++) {
    for (let d = 0, at = n * width; d < width; d++) found[d] += k[n] * row[at + d];
  }
  return found;
}

/** What is read at address `r` with the rows' shares `f`. */
export function read(r, f, state, width) {
  const o = vector(width);
  state.forEach((row, p) => address(r, row, width).forEach((value, d) => { o[d] += f[p] * value; }));
  return o;
}

/** (real + i·turn) times x, pairs of neighbours being complex numbers; plainly real·x where turn is 0. */
export function turned(real, turn, x) {
  if (!turn) return x.map((value) => real * value);
  const y = vector(x.length);
  for (let d = 0; d + 1 < x.length; d += 2) {
    y[d] = real * x[d] - turn * x[d + 1];
    y[d + 1] = turn * x[d] + real * x[d + 1];
  }
  return y;
}

/** The state moved as it would without the correction. */
export function carried(token, state) {
  const {G} = token;
  return state.map((row, p) => row.map((value, i) => {
    let moved = G[p][p] * value;
    if (p === 0 && state.length === 2) moved += G[0][1] * state[1][i];
    return moved;
  }));
}

/** One token: {state, o, z, force}, where force[p] [D] is what the correction adds at the token's key. */
export function step(token, state) {
  const {k, v, c, e, turn} = token, width = v.length;
  const z = read(k, c, state, width).map((value, d) => value - v[d]);
  const force = state.map((_, p) => turned(-e[p], -turn, z));
  const moved = carried(token, state);
  moved.forEach((row, p) => {
    for (let n = 0; n < k.length; n++) {
      for (let d = 0, at = n * width; d < width; d++) row[at + d] += k[n] * force[p][d];
    }
  });
  return {state: moved, o: read(token.r, token.f, moved, width), z, force};
}

/** A head over a sequence: tokens → {states, reads, errors, forces}, one of each a token. */
export function runHead(tokens) {
  const first = tokens[0], rows = first.e.length;
  let state = Array.from({length: rows}, () => vector(first.k.length * first.v.length));
  const trace = {states: [], reads: [], errors: [], forces: []};
  for (const token of tokens) {
    const now = step(token, state);
    state = now.state;
    trace.states.push(state);
    trace.reads.push(now.o);
    trace.errors.push(now.z);
    trace.forces.push(now.force);
  }
  return trace;
}

/** Gates of an oscillator as coefficients: S ← αS, S ← S − (1 − ρe^{iθ}) k(kᵀS − vᵀ). */
export function oscillatorToken(k, r, v, alpha, logRho, theta, knobs) {
  // The exact flow over another time: ρ is e^(−friction·time), θ the frequency times time.
  const keep = Math.exp(logRho * knobs.friction * knobs.dt), angle = (theta + knobs.frequency) * knobs.dt;
  const half = Math.sin(angle / 2);
  const real = 2 * half * half + (1 - keep) * Math.cos(angle), turn = -keep * Math.sin(angle);
  return {k, r, v, alpha, beta: 1 - keep, rho: keep, theta: angle, G: [[alpha]], c: [alpha], e: [real], f: [1], turn};
}

/** Of the delta rule, one row that no friction turns. */
export function deltaToken(k, r, v, alpha, beta) {
  return {k, r, v, alpha, beta, rho: 1 - beta, theta: 0, G: [[alpha]], c: [alpha], e: [beta], f: [1], turn: 0};
}

/** Of leapfrog (or, with `euler`, symplectic Euler) for a pair of rows (Q, P). */
export function steppedToken(k, r, v, alpha, beta, gamma, h, mu, knobs, euler) {
  h *= knobs.dt;
  beta *= knobs.stiffness;
  gamma = gamma ** (knobs.friction * knobs.dt);
  const drift = euler ? h * gamma : (h / 2) * (1 + gamma);
  const reach = euler ? [alpha, 0] : [alpha, (alpha * h) / 2];
  const push = euler ? [beta * h * h, beta * h] : [(beta * h * h) / 2, beta * h];
  const G = [[alpha, alpha * drift], [0, alpha * gamma]];
  return {k, r, v, alpha, beta, gamma, h, G, c: reach, e: push, f: [1, mu], turn: 0};
}

