// How a step stretches the state: its eigenvalues, and what of a gradient survives many steps.
//
// With its gates as they are, a token maps the state by A = G ⊗ I − e cᵀ ⊗ k kᵀ, on each value channel alike:
// across its key as G, along its key as G − e cᵀ.

import { dot, norm, vector } from "./arrays.js";

/** The eigenvalues {re, im} of a 1 × 1 (complex) or a real 2 × 2 matrix. */
function spectrum(m, im = 0) {
  if (m.length === 1) return [{re: m[0][0], im}];
  const half = (m[0][0] + m[1][1]) / 2, det = m[0][0] * m[1][1] - m[0][1] * m[1][0];
  const rest = half * half - det, root = Math.sqrt(Math.abs(rest));
  return rest >= 0 ? [{re: half + root, im: 0}, {re: half - root, im: 0}]
    : [{re: half, im: root}, {re: half, im: -root}];
}

/** Of one token's step: {across, along} its key. */
export function eigenvalues({G, e, c, turn}) {
  const rows = e.length;
  const full = G.map((row, p) => Array.from({length: rows}, (_, q) => (p <= q ? row[q] ?? 0 : 0)));
  return {
    across: spectrum(full),
    along: spectrum(full.map((row, p) => row.map((value, q) => value - e[p] * c[q])), -turn * c[0]),
  };
}

/** ‖∂S_T/∂S_{T−L}‖/√(pN) for L = 0 … T, gates held fixed: a gradient run backward through L steps. */
export function gainByLag(tokens) {
  const rows = tokens[0].e.length, size = tokens[0].k.length, full = rows * size;
  // One row of the Jacobian for each number of the state, real and imaginary part.
  let jacobian = Array.from({length: full}, (_, i) => {
    const re = Array.from({length: rows}, () => vector(size));
    re[Math.floor(i / size)][i % size] = 1;
    return {re, im: Array.from({length: rows}, () => vector(size))};
  });
  const gains = [1];
  for (let t = tokens.length - 1; t >= 0; t--) {
    jacobian = jacobian.map((row) => backward(tokens[t], row));
    const square = jacobian.reduce((sum, {re, im}) => sum + square2(re) + square2(im), 0);
    gains.push(Math.sqrt(square / full));
  }
  return gains;
}

const square2 = (rows) => rows.reduce((sum, row) => sum + norm(row) ** 2, 0);

function backward({G, e, c, k, turn}, {re, im}) {
  const rows = e.length;
  let ar = 0, ai = 0; // the row at e ⊗ k
  for (let p = 0; p < rows; p++) {
    const kr = dot(k, re[p]), ki = dot(k, im[p]);
    ar += e[p] * kr - turn * ki;
    ai += e[p] * ki + turn * kr;
  }
  const move = (part, q, n) => G[q][q] * part[q][n] + (rows === 2 && q === 1 ? G[0][1] * part[0][n] : 0);
  const next = (part, along) => part.map((row, q) => row.map((_, n) => move(part, q, n) - along * c[q] * k[n]));
  return {re: next(re, ar), im: next(im, ai)};
}
