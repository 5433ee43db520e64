// A memory of slots on a text, without a trained model: the package's law of writing, its hash, gates and controller.
// A token is a character; its cue the character before, whose key depends on nothing else. Surprise is counted: the
// text so far says how likely a character is after another.

import { dot } from "./arrays.js";

export const SLOT_ALPHABET = [..." etaoinshrdlcumwfgypbvkjxqzETAOINSHRDLCUMWFGYPBVKJXQZ.,0123456789"];
export const SLOT_SETTINGS = {gate: "surprisal", evict: "value", density: 0.25, buckets: 8, ways: 3, chunk: 8, merge: 0.9};
const KEY_SIZE = 8, GAIN = 0.5, MEMORY = 0.05, RATE = 0.01, SUPPRESSED = 8;

/** hmlcore.ops.hashing.mixed: 32 well-mixed bits of non-negative integers. */
export function mixedBits(...parts) {
  let found = 0;
  for (const part of parts) {
    found = (part + 0x9e3779b9 + found * 31) % 2 ** 32 >>> 0;
    for (let i = 0; i < 2; i++) found = Math.imul(found ^ (found >>> 16), 0x45d9f3b) >>> 0;
    found = (found ^ (found >>> 16)) >>> 0;
  }
  return found;
}

export const uniformOf = (...parts) => (mixedBits(...parts) >>> 8) / 2 ** 24;

/** The key of a cue, of length 1. */
export function keyOf(id) {
  const key = Float64Array.from({length: KEY_SIZE}, (_, i) => uniformOf(1, id, i) - 0.5), norm = Math.sqrt(dot(key, key));
  return key.map((x) => x / norm);
}

/** −log p of each token by the counts of pairs before it, with one made-up pair that knows no more than how many there are. */
export function surprises(ids, size) {
  const pairs = new Map(), seen = new Map();
  return ids.map((id, t) => {
    const cue = t ? ids[t - 1] : -1, pair = cue * size + id;
    const p = ((pairs.get(pair) ?? 0) + 1 / size) / ((seen.get(cue) ?? 0) + 1);
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
    seen.set(cue, (seen.get(cue) ?? 0) + 1);
    return -Math.log(p);
  });
}

const standardised = (e, stats) => (e.surprise - stats.mean) / Math.sqrt(stats.var + 0.2);
export const SLOT_GATES = {
  surprisal: {label: "what surprises", score: standardised},
  redundancy: {label: "what surprises and is not there", score: (e, stats) => standardised(e, stats) - SUPPRESSED * (e.nearest > 0.9)},
  frequency: {label: "rare characters", score: (e, stats, size) => Math.log(size) / Math.log(size - 1 - e.id + Math.E) + 1e-3 * e.noise},
  rare: {label: "the rarest eighth (oracle)", score: (e, stats, size) => (e.id >= size - Math.floor(size / 8)) + e.noise},
  random: {label: "at random", score: (e) => e.noise},
  every: {label: "everything", score: (e) => 1 + e.noise},
};
export const SLOT_EVICTIONS = [["value", "the least valuable"], ["oldest", "the oldest"], ["random", "any"]];

/** Mean and variance after a chunk, as hmlcore's gates follow them. */
function followed(stats, values) {
  const mean = values.reduce((a, b) => a + b) / values.length;
  const spread = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
  const weight = stats.seen ? 1 - (1 - RATE) ** values.length : 1, gap = mean - stats.mean;
  return {mean: stats.mean + weight * gap, var: (1 - weight) * (stats.var + weight * gap ** 2) + weight * spread, seen: true};
}

function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b), at = q * (sorted.length - 1), low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

/** Which scores pass, and the threshold of the next chunk: hmlcore.models.sparse.controller.held. */
function heldDensity(scores, density, control) {
  const twice = Math.min(1, 2 * density);
  const [low, at, high] = [twice, density, density / 2].map((part) => quantile(scores, Math.max(0, 1 - part)));
  const found = Math.max(1e-6, (high - low) / (twice - density / 2));
  const slope = control.begun ? control.slope + MEMORY * (found - control.slope) : found;
  const theta = control.begun ? control.theta : at, open = scores.map((score) => score > theta);
  const share = open.filter(Boolean).length / scores.length;
  return {open, used: theta, control: {theta: theta + GAIN * slope * (share - density), slope, begun: true}};
}

const empty = () => ({time: -1, id: -1, cue: -1, key: null, priority: 0, novelty: 0, hits: 0});

/** Offer → way that it is merged into: of those that resemble a slot the nearest to it, the later of equals. */
function claimsOf(left, near, merge) {
  const best = new Map();
  for (const i of left) {
    const most = Math.max(...near[i]), way = near[i].indexOf(most);
    if (most > merge && most >= (best.get(way)?.most ?? -Infinity)) best.set(way, {most, i});
  }
  return new Map([...best].map(([way, {i}]) => [i, way]));
}

/** Write open offers into their buckets: the law of hmlcore.ops.sparse_write.naive, of one stream; times ascend. */
export function sparseWrite(slots, offers, worth, merge) {
  const made = slots.map((bucket) => bucket.map((slot) => ({...slot})));
  const fates = offers.map(() => ({place: -1, evicted: -1, stands: false, merged: false}));
  const like = (a, b) => (b ? dot(a, b) : -Infinity);
  const near = offers.map((offer) => slots[offer.bucket].map((slot) => like(offer.key, slot.time >= 0 && slot.key)));
  slots.forEach((bucket, n) => {
    const here = offers.map((_, i) => i).filter((i) => offers[i].open && offers[i].bucket === n);
    const into = new Map(here.map((i) => [i, Math.max(i, ...here.filter((j) => j > i && like(offers[i].key, offers[j].key) > merge))]));
    for (const _ of here) for (const i of here) into.set(i, into.get(into.get(i)));
    const left = here.filter((i) => into.get(i) === i), claims = claimsOf(left, near, merge);
    const fresh = left.filter((i) => !claims.has(i)).sort((a, b) => offers[b].priority - offers[a].priority || offers[b].time - offers[a].time);
    const taken = new Set(claims.values()), cost = (w) => (bucket[w].time >= 0 ? worth[n][w] : -Infinity);
    const free = bucket.map((_, w) => w).filter((w) => !taken.has(w)).sort((a, b) => (cost(a) === cost(b) ? a - b : cost(a) - cost(b)));
    const places = [...claims, ...fresh.slice(0, free.length).map((i, rank) => [i, free[rank]])];
    for (const [i, w] of places) {
      const offer = offers[i], old = bucket[w], merged = claims.has(i), most = Math.max(...near[i]);
      const count = here.filter((j) => into.get(j) === i).length;
      made[n][w] = {
        time: offer.time, id: offer.id, cue: offer.cue, key: offer.key, hits: count + (merged ? old.hits : 0),
        priority: merged ? Math.max(old.priority, offer.priority) : offer.priority,
        novelty: merged ? old.novelty : most > -Infinity ? 1 - most : 1,
      };
      for (const j of here) if (into.get(j) === i) Object.assign(fates[j], {place: n * bucket.length + w, merged: merged || j !== i});
      Object.assign(fates[i], {stands: true, evicted: merged ? -1 : old.time});
    }
  });
  return {slots: made, fates};
}

function worthOf(slots, now, {evict, buckets, ways, density, gate, chunk}) {
  const horizon = (buckets * ways) / (gate === "every" ? 1 : density);
  return slots.map((bucket, n) => bucket.map((slot, w) => {
    const time = Math.max(0, slot.time);
    if (evict === "oldest") return time;
    if (evict === "random") return uniformOf(0, Math.floor(now / chunk), n * ways + w);
    return slot.priority + Math.exp(-(now - time) / horizon) + 0.5 * slot.novelty;
  }));
}

/** A text through the memory: {tokens, states}, what became of each token, and the slots after each whole chunk. */
export function fillSlots(ids, settings = {}) {
  const s = {...SLOT_SETTINGS, ...settings}, size = SLOT_ALPHABET.length, found = surprises(ids, size), gate = SLOT_GATES[s.gate];
  let slots = Array.from({length: s.buckets}, () => Array.from({length: s.ways}, empty));
  let stats = {mean: 0, var: 0, seen: false}, control = {theta: 0, slope: 0, begun: false};
  const tokens = ids.map((id, t) => ({id, t, cue: t ? ids[t - 1] : 0, surprise: found[t], chunk: Math.floor(t / s.chunk)})), states = [slots];
  for (const token of tokens) Object.assign(token, {bucket: mixedBits(token.cue) % s.buckets, next: mixedBits(token.id) % s.buckets});
  for (let start = 0; start + s.chunk <= ids.length; start += s.chunk) {
    const part = tokens.slice(start, start + s.chunk);
    stats = followed(stats, part.map((token) => token.surprise));
    const scores = part.map((token) => {
      const key = keyOf(token.cue), near = slots[token.bucket].map((slot) => (slot.time >= 0 ? dot(key, slot.key) : -1));
      Object.assign(token, {key, noise: uniformOf(0, token.t, token.id, token.cue), nearest: Math.max(...near)});
      return gate.score(token, stats, size);
    });
    const all = {open: scores.map((score) => score > 0), used: 0, control: {theta: 0, slope: 1, begun: true}};
    const held = s.gate === "every" ? all : heldDensity(scores, s.density, control);
    control = held.control;
    part.forEach((token, i) => {
      const margin = Math.max(0, (scores[i] - control.theta) / Math.max(control.slope, 1e-6));
      Object.assign(token, {score: scores[i], theta: held.used, open: held.open[i] && token.t > 0, priority: margin / (1 + margin), time: token.t});
    });
    const written = sparseWrite(slots, part, worthOf(slots, start + s.chunk - 1, s), s.merge);
    part.forEach((token, i) => Object.assign(token, written.fates[i]));
    slots = written.slots;
    states.push(slots);
  }
  return {tokens, states, settings: s};
}
