// Explorer 6: pairs added one at a time to one sum: what unbinding finds, what clean-up makes of it, and the law.

import {
  boundBy, largest, likenesses, measuredRecall, randomBy, randomPhases, randomSigns, recallLaw,
} from "./superposition.js";
import { bound, chooser, drawing, frame, h, number, onWidth } from "./view.js";

const SIZES = [64, 128, 256, 512, 1024], BOOKS = [16, 64, 256], MOST_PAIRS = 96, READS = 300, RANKED = 9, DOTS = 256;
const RIGHT = "#009E73", WRONG = "#D55E00";

/** Open the explorer in `element`; no model is needed. Returns {state, draw, destroy}. */
export function bindingExplorer(element, _sources, options = {}, told = () => {}) {
  const root = frame(element, "Superposition: pairs added one at a time");
  root.parentElement.style.setProperty("--accent", "#882255");
  const state = {channels: 256, values: 64, seed: 1, pairs: [], asked: options.at ?? 0};
  let codebook, sum, random, measured = new Map();

  const size = chooser("Numbers D", SIZES.map((d) => [d, d]), state.channels, (d) => renew({channels: Number(d)}));
  const book = chooser("Known values K", BOOKS.map((k) => [k, k]), state.values, (k) => renew({values: Number(k)}));
  const button = (text, click) => h("button", {type: "button", click}, text);
  const chips = h("div", {class: "tokens", role: "group", "aria-label": "Pairs in the sum: choose which key is asked for"});
  const words = h("p", {class: "words", "aria-live": "polite"});
  const spectrum = drawing("Angle of each number of what unbinding finds, against the value that was bound");
  const ranking = drawing("Known values by their likeness to what was found, the nearest first");
  const curve = drawing("Share of right answers against the pairs in the sum: the law, and what was measured");
  const left = h("div", {}, spectrum), right = h("div", {}, ranking), below = h("div", {}, curve);

  function renew(changes) {
    const count = state.pairs.length || 8;
    Object.assign(state, changes, {pairs: []});
    random = randomBy(state.seed);
    codebook = randomSigns(state.values, state.channels, random);
    sum = new Float64Array(state.channels);
    measured = new Map();
    add(count);
  }

  function add(count) {
    for (let i = 0; i < count && state.pairs.length < MOST_PAIRS; i++) {
      const pair = {phases: randomPhases(state.channels, random), value: Math.floor(random() * state.values)};
      boundBy(pair.phases, codebook[pair.value]).forEach((y, c) => { sum[c] += y; });
      state.pairs.push(pair);
    }
    answer();
    draw();
  }

  /** Every key asked for: what is found, and what clean-up makes of it; and sums like this one, measured. */
  function answer() {
    for (const pair of state.pairs) {
      pair.found = boundBy(pair.phases, sum, -1);
      pair.likeness = likenesses(codebook, pair.found);
      pair.answer = largest(pair.likeness);
    }
    const count = state.pairs.length;
    if (!measured.has(count)) measured.set(count, measuredRecall(codebook, count, READS, randomBy(1000 * state.seed + count)));
    state.asked = bound(state.asked, 0, count - 1);
    state.law = recallLaw(state.channels, count, state.values);
  }

  function draw() {
    const {pairs, channels, values} = state, pair = pairs[state.asked], hits = pairs.filter((p) => p.answer === p.value).length;
    chips.replaceChildren(...pairs.map((p, i) => h("button", {type: "button", "aria-current": i === state.asked ? "true" : null, click: () => ask(i),
      "aria-label": `key ${i + 1}, ${p.answer === p.value ? "answered right" : "answered wrong"}`},
      String(i + 1), h("small", {class: p.answer === p.value ? "right" : "wrong"}, p.answer === p.value ? "✓" : "✗"))));
    words.textContent = `${pairs.length} pair${pairs.length > 1 ? "s" : ""} in ${channels} numbers, ${number(channels / pairs.length, 1)} numbers a pair. `
      + `Key ${state.asked + 1} was bound to value ${pair.value + 1}, and the nearest to what it finds is value ${pair.answer + 1}: ${pair.answer === pair.value ? "right" : "wrong"}. `
      + `Of this sum's keys ${hits} are answered right; of ${READS} keys of sums like it, ${number(100 * measured.get(pairs.length), 1)} %; the law says ${number(100 * state.law, 1)} %.`;
    drawSpectrum(pair);
    drawRanking(pair);
    drawCurveOfLaw(values);
  }

  function ask(i) {
    state.asked = i;
    draw();
    told({model: "", text: "", at: i});
  }

  function drawSpectrum({found, value}) {
    const width = Math.max(240, left.clientWidth || 380), high = 190, start = 44, middle = high / 2 + 6, parts = [];
    const count = Math.min(DOTS, found.length / 2), x = (j) => start + ((j + 0.5) / count) * (width - start - 8);
    const y = (turns) => middle - turns * (high - 24), loud = Math.sqrt(state.pairs.length);
    for (const [turns, text] of [[0.5, "+½"], [0, "0"], [-0.5, "−½"]]) {
      parts.push(`<path d="M${start} ${y(turns)}H${width - 8}" stroke="${turns ? "var(--faint)" : "var(--line)"}"/><text x="${start - 6}" y="${y(turns) + 4}" text-anchor="end">${text}</text>`);
    }
    const own = codebook[value];
    for (let j = 0; j < count; j++) {
      const [a, b, c, d] = [found[2 * j], found[2 * j + 1], own[2 * j], own[2 * j + 1]];
      const turns = Math.atan2(b * c - a * d, a * c + b * d) / (2 * Math.PI), size = Math.hypot(a, b) / Math.SQRT2;
      parts.push(`<circle cx="${x(j).toFixed(1)}" cy="${y(turns).toFixed(1)}" r="${(1.2 + (2.2 * size) / loud).toFixed(2)}" fill="var(--accent)" fill-opacity=".65"/>`);
    }
    parts.push(`<text x="${width - 8}" y="${high + 20}" text-anchor="end">number of the sum, of ${found.length / 2} complex ones</text>`);
    spectrum.setAttribute("viewBox", `0 0 ${width} ${high + 26}`);
    spectrum.innerHTML = parts.join("");
  }

  function drawRanking({likeness, value, answer: nearest}) {
    const width = Math.max(240, right.clientWidth || 300), each = 19, start = 62, parts = [], noise = Math.sqrt(state.pairs.length / state.channels);
    const order = likeness.map((_, i) => i).sort((i, j) => likeness[j] - likeness[i]), shownOnes = order.slice(0, RANKED);
    if (!shownOnes.includes(value)) shownOnes[RANKED - 1] = value;
    const most = Math.max(1, ...likeness) * 1.05, x = (like) => start + (Math.max(0, like) / most) * (width - start - 46);
    parts.push(`<rect x="${start}" y="0" width="${x(noise) - start}" height="${RANKED * each + 4}" fill="var(--faint)"/>`);
    shownOnes.forEach((i, row) => {
      const y = 4 + row * each, colour = i === value ? RIGHT : i === nearest ? WRONG : "var(--soft)";
      parts.push(`<text x="${start - 6}" y="${y + 11}" text-anchor="end">${order.indexOf(i) + 1}. v${i + 1}</text>`);
      parts.push(`<rect x="${start}" y="${y}" width="${Math.max(1, x(likeness[i]) - start).toFixed(1)}" height="${each - 6}" fill="${colour}"/>`);
      parts.push(`<text x="${(x(likeness[i]) + 5).toFixed(1)}" y="${y + 11}">${number(likeness[i])}${i === value ? " ✓" : ""}</text>`);
    });
    parts.push(`<text x="0" y="${RANKED * each + 18}">shaded: noise, its standard deviation √(N/D)</text>`);
    ranking.setAttribute("viewBox", `0 0 ${width} ${RANKED * each + 24}`);
    ranking.innerHTML = parts.join("");
  }

  function drawCurveOfLaw(values) {
    const width = Math.max(300, below.clientWidth || 640), high = 170, start = 44, parts = [], counts = [];
    for (let n = 1; n <= MOST_PAIRS; n = Math.max(n + 1, Math.round(n * 1.12))) counts.push(n);
    const x = (n) => start + (Math.log(n) / Math.log(MOST_PAIRS)) * (width - start - 14), y = (p) => 8 + (1 - p) * (high - 14);
    for (const p of [0, 0.5, 1]) parts.push(`<path d="M${start} ${y(p)}H${width - 14}" stroke="var(--faint)"/><text x="${start - 6}" y="${y(p) + 4}" text-anchor="end">${100 * p} %</text>`);
    for (const n of [1, 2, 4, 8, 16, 32, 64, 96]) parts.push(`<text x="${x(n)}" y="${high + 14}" text-anchor="middle">${n}</text>`);
    const line = counts.map((n, i) => `${i ? "L" : "M"}${x(n).toFixed(1)} ${y(recallLaw(state.channels, n, values)).toFixed(1)}`);
    parts.push(`<path d="${line.join("")}" fill="none" stroke="var(--soft)" stroke-width="2"/>`);
    for (const [n, share] of measured) {
      const here = n === state.pairs.length;
      parts.push(`<circle class="measured" cx="${x(n).toFixed(1)}" cy="${y(share).toFixed(1)}" r="${here ? 6 : 4}" fill="var(--accent)" fill-opacity="${here ? 1 : 0.55}" stroke="${here ? "var(--ink)" : "none"}"/>`);
    }
    parts.push(`<text x="${width - 14}" y="${high + 30}" text-anchor="end">pairs in the sum, N</text>`);
    curve.setAttribute("viewBox", `0 0 ${width} ${high + 36}`);
    curve.innerHTML = parts.join("");
  }

  const key = h("div", {class: "key"});
  key.innerHTML = `<span><svg viewBox="0 0 20 12"><path d="M0 6H20" stroke="var(--soft)" stroke-width="2"/></svg>the law</span>
<span><svg viewBox="0 0 20 12"><circle cx="10" cy="6" r="4" fill="var(--accent)"/></svg>measured</span>`;
  root.append(h("div", {class: "bar"}, size.element, book.element),
    h("div", {class: "bar"}, button("Add a pair", () => add(1)), button("Add eight", () => add(8)),
      button("Start again with one", () => { state.pairs.length = 0; sum.fill(0); add(1); }),
      button("Other random numbers", () => renew({seed: state.seed + 1}))),
    chips, words, h("div", {class: "split"},
      h("div", {}, h("h3", {}, "What unbinding finds: angle to the right value, in turns"), left),
      h("div", {}, h("h3", {}, "Clean-up: the nearest known values"), right)),
    h("h3", {}, "Right answers: predicted and measured"), below, key);
  renew({});
  const end = onWidth(below, draw);
  return {state, draw, destroy: end};
}
