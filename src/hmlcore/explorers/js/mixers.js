// The mixers that the page can run: every token of a sequence at once, with what their memories did.
// A mixer takes weights (name → tensor), its arguments and inputs xs, and returns {ys, heads, ...}.

import {
  dot, linear, part, rmsNorm, shortConvolution, sigmoid, silu, softmax, softplus, sumOf, unit, vector,
} from "./arrays.js";
import { deltaToken, oscillatorToken, runHead, steppedToken } from "./recurrence.js";

const DYNAMICS = ["delta", "oscillator", "leapfrog", "euler"]; // the first where a model does not say
const SLOWNESS = 0.1; // of the rotors' weights, as in hmlcore.layers.hml.rotation

/** How a step of the memory is changed: all as the model learned it. */
export const KNOBS = {dt: 1, friction: 1, stiffness: 1, frequency: 0};

/** The reads of one head, normed as the layer does. */
function headNorm(kind, weights, o, head) {
  if (kind === "none") return o;
  if (kind === "head") return rmsNorm(o, weights("norm.weight").data);
  const amplitude = weights("norm.amplitude").data[head], gain = weights("norm.weight").data;
  const scale = 1 / Math.sqrt(Math.max(dot(o, o) / o.length + amplitude * amplitude, 1e-5));
  return o.map((value, i) => value * scale * gain[i]);
}

/** Φ of every rotor after each token, in turns within half a turn of zero. */
export function rotorPhases(weights, xs) {
  const lattice = weights("rotation.lattice", true)?.data;
  let phase = vector(weights("rotation.bias").data.length);
  return xs.map((x) => {
    const turns = linear(weights("rotation.weight"), x, weights("rotation.bias")).map((w) => SLOWNESS * w);
    phase = phase.map((value, i) => {
      const snap = (y) => (lattice?.[i] > 0 ? Math.round(y * lattice[i]) / lattice[i] : y);
      const sum = value + snap(turns[i]);
      return sum - Math.round(sum);
    });
    return phase;
  });
}

/** What two kinds of matrix memories share: keys, queries, values, recurrence a head, and the way out. */
function matrixMemory(weights, xs, heads, size, width, norm, token) {
  const keys = heads * size;
  const mixed = shortConvolution(xs.map((x) => linear(weights("in_proj.weight"), x)), weights("conv"))
    .map((x) => x.map(silu));
  const traces = Array.from({length: heads}, (_, h) => {
    const tokens = mixed.map((x, t) => {
      const r = unit(part(x, h, size)), k = unit(part(x.subarray(keys), h, size));
      return token(t, h, k, r, part(x.subarray(2 * keys), h, width));
    });
    return {tokens, ...runHead(tokens)};
  });
  const gain = weights("skip", true)?.data;
  const ys = xs.map((x, t) => {
    const gate = linear(weights("out_gate.weight"), x), inner = vector(heads * width);
    traces.forEach((trace, h) => {
      headNorm(norm, weights, trace.reads[t], h).forEach((value, d) => {
        const at = h * width + d, own = gain ? gain[at] * trace.tokens[t].v[d] : 0;
        inner[at] = (value + own) * silu(gate[at]);
      });
    });
    return linear(weights("out_proj.weight"), inner);
  });
  return {ys, heads: traces};
}

function hml(weights, given, xs, d_model, knobs) {
  const heads = given.num_heads ?? 4, size = given.head_dim ?? d_model / heads;
  const dynamics = given.dynamics ?? DYNAMICS[0], gateNames = ["beta", "alpha", "gamma"];
  const raw = xs.map((x) => linear(weights("gate_proj.weight"), x, weights("gate_proj.bias")));
  const gate = (t, name, h) => raw[t][gateNames.indexOf(name) * heads + h];
  const theta = weights("rule.theta", true), still = theta ? heads - theta.shape[0] : 0;
  const angle = (t, h) => {
    if (h < still) return 0;
    if (theta.shape.length === 1) return theta.data[h];
    return Math.PI * Math.tanh(0.1 * dot(part(theta.data, h - still, d_model), xs[t]));
  };
  const token = (t, h, k, r, v) => {
    const alpha = given.damping ? 1
      : Math.exp(-0.05 * Math.exp(weights("log_a").data[h]) * softplus(gate(t, "alpha", h)));
    const beta = sigmoid(gate(t, "beta", h));
    if (dynamics === "delta") return deltaToken(k, r, v, alpha, 1 - (1 - beta) ** (knobs.friction * knobs.dt));
    if (dynamics === "oscillator") {
      const logRho = given.damping ? Math.log(given.damping) : -softplus(gate(t, "beta", h));
      return oscillatorToken(k, r, v, alpha, logRho, angle(t, h), knobs);
    }
    const gamma = given.damping ?? sigmoid(gate(t, "gamma", h));
    const step = Math.exp(weights("rule.log_h").data[h]), mu = weights("rule.mu").data[h];
    return steppedToken(k, r, v, alpha, beta, gamma, step, mu, knobs, dynamics === "euler");
  };
  const out = matrixMemory(weights, xs, heads, size, size, given.norm ?? "head", token);
  if (!given.rotors) return out;
  const phases = rotorPhases(weights, xs);
  out.ys = out.ys.map((y, t) => {
    const angles = phases[t].map((turn) => 2 * Math.PI * turn);
    const hands = Float64Array.from([...angles.map(Math.cos), ...angles.map(Math.sin)]);
    return sumOf(y, linear(weights("rotor_proj.weight"), hands));
  });
  return {...out, phases, lattice: [...weights("rotation.lattice").data]};
}

function gatedDeltaNet(weights, given, xs, d_model) {
  const heads = given.num_heads ?? 4, size = given.head_dim ?? d_model / heads;
  const width = Math.round(size * (given.expand_v ?? 2)), largest = given.negative_eigenvalues ? 2 : 1;
  const raw = xs.map((x) => linear(weights("gate_proj.weight"), x, weights("gate_proj.bias")));
  const token = (t, h, k, r, v) => {
    const alpha = Math.exp(-Math.exp(weights("log_a").data[h]) * softplus(raw[t][h]));
    return deltaToken(k, r, v, alpha, largest * sigmoid(raw[t][heads + h]));
  };
  return matrixMemory(weights, xs, heads, size, width, given.norm ?? "head", token);
}

function gru(weights, given, xs) {
  const size = weights("unit.weight_hh_l0").shape[1], states = [], steps = [];
  let state = vector(size);
  for (const x of shortConvolution(xs, weights("conv"))) {
    const fed = linear(weights("unit.weight_ih_l0"), x.map(silu), weights("unit.bias_ih_l0"));
    const own = linear(weights("unit.weight_hh_l0"), state, weights("unit.bias_hh_l0"));
    const reset = vector(size), keep = vector(size), fresh = vector(size);
    for (let i = 0; i < size; i++) {
      reset[i] = sigmoid(fed[i] + own[i]);
      keep[i] = sigmoid(fed[size + i] + own[size + i]);
      fresh[i] = Math.tanh(fed[2 * size + i] + reset[i] * own[2 * size + i]);
    }
    steps.push({before: state, reset, keep, fresh, own: own.subarray(2 * size)});
    state = fresh.map((value, i) => (1 - keep[i]) * value + keep[i] * state[i]);
    states.push(state);
  }
  return {ys: states.map((s) => linear(weights("out_proj.weight"), s)), heads: [], hidden: states, steps};
}

function rotatedByPosition(x, t) {
  const half = x.length / 2, y = vector(x.length);
  for (let i = 0; i < half; i++) {
    const angle = t * 10000 ** (-i / half), c = Math.cos(angle), s = Math.sin(angle);
    y[i] = x[i] * c - x[i + half] * s;
    y[i + half] = x[i] * s + x[i + half] * c;
  }
  return y;
}

function attention(weights, given, xs, d_model) {
  const heads = given.num_heads ?? 4, size = d_model / heads;
  const mixed = shortConvolution(xs.map((x) => linear(weights("in_proj.weight"), x)), weights("conv"));
  const traces = Array.from({length: heads}, (_, h) => {
    const own = (x, which) => part(x.subarray(which * d_model), h, size);
    const q = mixed.map((x, t) => rotatedByPosition(own(x, 0), t));
    const k = mixed.map((x, t) => rotatedByPosition(own(x, 1), t)), v = mixed.map((x) => own(x, 2));
    const shares = q.map((query, t) => softmax(k.slice(0, t + 1).map((key) => dot(query, key) / Math.sqrt(size))));
    const reads = shares.map((row) => {
      const o = vector(size);
      row.forEach((share, s) => v[s].forEach((value, d) => { o[d] += share * value; }));
      return o;
    });
    return {shares, values: v, keys: k, reads};
  });
  const ys = xs.map((_, t) => {
    const joined = Float64Array.from(traces.flatMap((trace) => [...trace.reads[t]]));
    return linear(weights("out_proj.weight"), joined);
  });
  return {ys, heads: traces};
}

const MIXERS = {hml, gated_deltanet: gatedDeltaNet, gru, attention};

/** Refuse, in one sentence, what the page cannot run. */
export function checkMixer(mixer, given) {
  if (!MIXERS[mixer]) {
    throw new Error(`This page cannot run the mixer "${mixer}"; it knows ${Object.keys(MIXERS).join(", ")}.`);
  }
  const not = (name) => new Error(`This page cannot run ${mixer} with ${name} = ${JSON.stringify(given[name])}.`);
  if ((given.corrections ?? 1) !== 1) throw not("corrections");
  if ((given.decay ?? "head") !== "head") throw not("decay");
  if (given.rotation_heads) throw not("rotation_heads");
  if ((given.injection ?? "momentum") !== "momentum") throw not("injection");
  if (mixer === "hml" && !DYNAMICS.includes(given.dynamics ?? DYNAMICS[0])) throw not("dynamics");
}

export function runMixer(mixer, weights, given, xs, d_model, knobs) {
  return MIXERS[mixer](weights, given, xs, d_model, {...KNOBS, ...knobs});
}
