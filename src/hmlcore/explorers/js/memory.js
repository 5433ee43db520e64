// Explorer 2: what of every past token can still be read, at every later token.

import { dot } from "./arrays.js";
import { guesses } from "./model.js";
import { losses, readBack, shares } from "./readback.js";
import { HELD_KEY, Reader, readerControls } from "./reader.js";
import { bound, chooser, drawing, escaped, frame, h, number, onWidth, shown, signed } from "./view.js";

const MODES = [["read", "read by each token's own query"], ["held", "still held at its own key"]];
const OVERWRITTEN = 0.3; // of what was held: less is no event

/** Of a block: per head {values[t][s], held, tokens?}, and each token's share in what is read. */
function mapsOf(block) {
  if (block.heads[0]?.tokens) {
    const maps = block.heads.map((head) => readBack(head.tokens));
    return {
      linear: true,
      read: maps.map(({weights}) => weights.map((row) => row.map((w) => Math.hypot(w.re, w.im)))),
      held: maps.map(({held}) => held),
      tokens: block.heads.map((head) => head.tokens),
      share: (t, chosen) => shares(chosen.map((i) => block.heads[i]), chosen.map((i) => maps[i]), t),
    };
  }
  if (!block.heads.length) {
    throw new Error("A GRU keeps no sum of what was written, so no past token can be read back from it exactly.");
  }
  const rows = block.heads.map((head) => head.shares.map((row) => [...row]));
  return {
    linear: false, read: rows, held: rows,
    share: (t, chosen) => {
      let total = 0;
      const found = new Float64Array(t + 1);
      for (const i of chosen) {
        const {shares: all, values, reads} = block.heads[i];
        total += dot(reads[t], reads[t]);
        for (let s = 0; s <= t; s++) found[s] += all[t][s] * dot(values[s], reads[t]);
      }
      return found.map((value) => value / Math.max(total, 1e-300));
    },
  };
}

/** The mean over the chosen heads. */
const averaged = (maps, chosen) => maps[chosen[0]].map((row, t) => row.map((_, s) =>
  chosen.reduce((sum, i) => sum + maps[i][t][s], 0) / chosen.length));

/** Where a token's write was overwritten: [{t, s, part}], the largest step of each if it took enough. */
function overwrites(maps, chosen) {
  const length = maps.held[0].length, found = [];
  const held = averaged(maps.held, chosen), top = Math.max(...held.flat());
  for (let s = 0; s < length; s++) {
    let most = {part: OVERWRITTEN};
    for (let t = s + 1; t < length; t++) {
      const before = held[t - 1][s];
      if (before < 0.15 * top) continue;
      const lost = chosen.reduce((sum, i) => sum + losses(maps.tokens[i], maps.held[i], t)[s].overwritten, 0) / chosen.length;
      if (lost / before > most.part) most = {t, s, part: lost / before};
    }
    if (most.s !== undefined) found.push(most);
  }
  return found;
}

/** Open the explorer in `element`; returns {reader, draw, destroy}. */
export function memoryExplorer(element, sources, options = {}, told = () => {}) {
  const root = frame(element, "Memory explorer: what of each past token can still be read");
  const reader = new Reader(sources, options);
  let mode = options.mode ?? "read", head = "all", maps = null, values = [], heldNow = [], events = [], picked = null;
  const controls = readerControls(reader, (what) => {
    if (what === "run") prepare();
    draw();
    told({model: reader.name, text: reader.text, at: reader.at});
  });
  const canvas = h("canvas", {"aria-hidden": "true"});
  const over = drawing("Map: rows are the tokens that read, columns the tokens that were written");
  over.setAttribute("tabindex", "0");
  const stack = h("div", {class: "stack"}, canvas, over), words = h("p", {class: "words", "aria-live": "polite"});
  const back = drawing("Share of each past token in what the chosen token reads"), backHolder = h("div", {}, back);
  const answersList = h("div", {class: "key"});
  const modes = chooser("Show", MODES, mode, (value) => { mode = value; choose(); draw(); });
  const heads = chooser("Heads", [["all", "all"]], head, (value) => { head = value; choose(); draw(); });
  const title = h("h3", {}, "");

  const chosenHeads = () => (head === "all" ? maps.read.map((_, i) => i) : [Number(head)]);

  function prepare() {
    if (!reader.run) return;
    try {
      maps = mapsOf(reader.run.blocks.at(-1));
    } catch (error) {
      reader.error = error.message;
      controls.refresh();
      maps = null;
      return;
    }
    if (head !== "all" && !maps.read[Number(head)]) head = "all";
    heads.select.replaceChildren(...[["all", "all"], ...maps.read.map((_, i) => [i, String(i + 1)])]
      .map(([key, text]) => h("option", {value: key, selected: String(key) === head}, text)));
    modes.element.style.display = maps.linear ? "" : "none";
    root.parentElement.style.setProperty("--accent", reader.look.color);
    choose();
  }

  function choose() {
    if (!maps) return;
    values = averaged(maps[maps.linear ? mode : "read"], chosenHeads());
    heldNow = averaged(maps.held, chosenHeads());
    events = maps.linear ? overwrites(maps, chosenHeads()) : [];
    picked = null;
    drawMap();
  }

  const layout = () => {
    const width = bound(stack.clientWidth || 460, 240, 560), count = values.length, margin = 30;
    return {width, margin, cell: (width - margin - 6) / count, count};
  };

  /** The cells: changed by the text, the heads and what is shown, not by the cursor. */
  function drawMap() {
    if (!values.length) return;
    const {width, margin, cell, count} = layout(), ratio = globalThis.devicePixelRatio || 1;
    const most = Math.max(1e-9, ...values.flat());
    Object.assign(canvas, {width: width * ratio, height: width * ratio});
    Object.assign(canvas.style, {width: `${width}px`, height: `${width}px`});
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = reader.look.color;
    const gap = cell > 6 ? 1 : 0;
    for (let t = 0; t < count; t++) {
      for (let s = 0; s <= t; s++) {
        pen.globalAlpha = 0.04 + 0.96 * bound(values[t][s] / most, 0, 1) ** 0.7;
        pen.fillRect(margin + s * cell, margin + t * cell, cell - gap, cell - gap);
      }
    }
    over.setAttribute("viewBox", `0 0 ${width} ${width}`);
    over.style.width = `${width}px`;
  }

  function drawOver() {
    const {margin, cell, count} = layout(), at = reader.at, c = reader.run.characters, parts = [];
    const size = bound(1.15 * cell, 7, 11), every = Math.ceil(size / (1.2 * cell)), middle = (i) => margin + (i + 0.5) * cell;
    for (let i = 0; i < count; i++) {
      const here = ` style="font-size:${size}px${i === at ? ";fill:var(--ink);font-weight:700" : ""}"`;
      if (i % every === 0 || i === at) {
        const text = escaped(shown(c[i]));
        parts.push(`<text x="${middle(i)}" y="${margin - 7}" text-anchor="middle"${here}>${text}</text>`);
        parts.push(`<text x="${margin - 7}" y="${middle(i) + 4}" text-anchor="end"${here}>${text}</text>`);
      }
    }
    for (const {t, s} of events) {
      const r = bound(cell * 0.26, 2, 6), x = middle(s), y = middle(t);
      parts.push(`<path d="M${x - r} ${y - r}L${x + r} ${y + r}M${x + r} ${y - r}L${x - r} ${y + r}" stroke="var(--ink)" stroke-width="2"/>`);
    }
    if (maps.linear) {
      for (let s = 0; s < count; s++) {
        const beta = chosenHeads().reduce((sum, i) => sum + maps.tokens[i][s].beta, 0) / chosenHeads().length;
        parts.push(`<circle cx="${middle(s)}" cy="${middle(s)}" r="${bound(cell * 0.36 * Math.sqrt(beta), 1, 9)}" fill="none" stroke="var(--ink)" stroke-width="1.4"/>`);
      }
    }
    parts.push(`<rect x="${margin - 1}" y="${margin + at * cell - 1}" width="${(at + 1) * cell + 1}" height="${cell + 1}" fill="none" stroke="var(--ink)" stroke-width="1.6"/>`);
    if (picked !== null && picked <= at) {
      parts.push(`<rect x="${margin + picked * cell - 1}" y="${margin + at * cell - 1}" width="${cell + 1}" height="${cell + 1}" fill="none" stroke="var(--blue)" stroke-width="3"/>`);
    }
    parts.push(`<text x="${margin + count * cell}" y="10" text-anchor="end">token that was written →</text>`);
    parts.push(`<text transform="translate(9 ${margin + count * cell}) rotate(-90)">token that reads →</text>`);
    over.innerHTML = parts.join("");
  }

  /** What comes back at the chosen token: for each past token its share, those against it to the left. */
  function drawBack() {
    const at = reader.at, c = reader.run.characters, found = maps.share(at, chosenHeads());
    const width = Math.max(220, backHolder.clientWidth || 300), row = bound(340 / (at + 1), 9, 20);
    const most = Math.max(0.2, ...found.map(Math.abs)), least = Math.max(0, ...found.map((x) => -x));
    const left = 26 + (width - 76) * (least / (most + least)), scale = (width - 76) / (most + least), parts = [];
    found.forEach((share, s) => {
      const y = 6 + s * row, x = share < 0 ? left + share * scale : left;
      const style = share < 0 ? `fill="none" stroke="var(--accent)" stroke-width="1.2"` : `fill="var(--accent)"`;
      parts.push(`<rect x="${x}" y="${y + 1}" width="${Math.max(0.8, Math.abs(share) * scale)}" height="${row - 2.5}" ${style}/>`);
      if (s === picked) parts.push(`<rect x="24" y="${y}" width="${width - 26}" height="${row}" fill="none" stroke="var(--blue)" stroke-width="2"/>`);
      parts.push(`<text x="18" y="${y + row / 2 + 4}" text-anchor="end" style="font-size:${Math.min(11, row)}px">${escaped(shown(c[s]))}</text>`);
      if (Math.abs(share) > 0.04) {
        parts.push(`<text x="${left + Math.max(0, share) * scale + 5}" y="${y + row / 2 + 4}">${number(100 * share, 0)} %</text>`);
      }
    });
    parts.push(`<path d="M${left} 2V${8 + row * (at + 1)}" stroke="var(--line)"/>`);
    back.setAttribute("viewBox", `0 0 ${width} ${12 + row * (at + 1)}`);
    back.innerHTML = parts.join("");
    return found;
  }

  function draw() {
    if (!reader.run || !maps) {
      for (const svg of [over, back]) svg.innerHTML = "";
      canvas.width = 0;
      title.textContent = words.textContent = answersList.textContent = "";
      return;
    }
    drawOver();
    controls.hold(maps.linear ? heldNow[reader.at] : [], Math.max(...heldNow.flat(), 1e-9));
    const at = reader.at, c = reader.run.characters, found = drawBack();
    title.textContent = `What “${shown(c[at])}” (token ${at + 1}) reads, by the token that wrote it`;
    answersList.replaceChildren("The model answers ", ...guesses(reader.run.model, reader.run, at, 4)
      .map(({character, probability}) => h("span", {}, `“${shown(character)}” ${number(100 * probability, 0)} %`)));
    const order = [...found.keys()].sort((a, b) => found[b] - found[a]), best = order[0], worst = order.at(-1);
    const name = (s) => `token ${s + 1}, “${shown(c[s])}”`;
    let text = `${signed(100 * found[best], 0)} % of what comes back is ${name(best)}`;
    if (found[worst] < -0.02) text += `; most against it stands ${name(worst)}, ${signed(100 * found[worst], 0)} %`;
    text += ".";
    const s = picked !== null && picked <= at ? picked : best;
    if (maps.linear && s < at) {
      const held = averaged(maps.held, chosenHeads()), event = events.find((one) => one.s === s && one.t <= at);
      text += ` Of what ${name(s)} wrote, ${number((100 * held[at][s]) / Math.max(held[s][s], 1e-12), 0)} % is still held at its own key`;
      text += event ? `; ${name(event.t)} overwrote ${number(100 * event.part, 0)} % of what was left.` : ".";
    }
    words.textContent = text;
  }

  function hit(event) {
    const {margin, cell, count, width} = layout(), box = over.getBoundingClientRect();
    const scale = width / box.width, cellAt = (x) => Math.floor((x * scale - margin) / cell);
    const t = cellAt(event.clientY - box.top), s = cellAt(event.clientX - box.left);
    if (t < 0 || t >= count || s < 0) return;
    picked = s <= t ? s : null;
    controls.move(t);
  }
  over.addEventListener("click", hit);
  over.addEventListener("keydown", (event) => {
    const [dt, ds] = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key] ?? [0, 0];
    if (!dt && !ds) return;
    event.preventDefault();
    if (ds) picked = bound((picked ?? reader.at) + ds, 0, reader.at);
    controls.move(reader.at + dt);
  });

  const key = h("div", {class: "key"});
  key.innerHTML = `${HELD_KEY}
<span><svg viewBox="0 0 20 12"><rect width="6" height="12" fill="var(--accent)" fill-opacity=".15"/><rect x="7" width="6" height="12" fill="var(--accent)" fill-opacity=".5"/><rect x="14" width="6" height="12" fill="var(--accent)"/></svg>strength, from none to the most here</span>
<span><svg viewBox="0 0 20 12"><circle cx="10" cy="6" r="5" fill="none" stroke="var(--ink)" stroke-width="1.4"/></svg>written, by how much (β)</span>
<span><svg viewBox="0 0 20 12"><path d="M5 1l10 10M15 1L5 11" stroke="var(--ink)" stroke-width="2"/></svg>overwritten here</span><span>fading down a column: forgotten</span>`;
  root.append(...controls.elements, h("div", {class: "bar"}, modes.element, heads.element),
    h("div", {class: "split"}, h("div", {}, stack, key), h("div", {}, title, answersList, backHolder)), words);
  prepare();
  draw();
  const end = onWidth(root, () => { if (maps) { drawMap(); draw(); } });
  return {reader, controls, draw, destroy: () => { end(); controls.stop(); }};
}
