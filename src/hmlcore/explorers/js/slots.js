// Explorer 6: slots that fill, what is driven out, and why each token is written or not.

import { dot } from "./arrays.js";
import { tokenize } from "./model.js";
import { readerControls } from "./reader.js";
import { fillSlots, keyOf, SLOT_ALPHABET, SLOT_EVICTIONS, SLOT_GATES, SLOT_SETTINGS } from "./slotlaw.js";
import { bound, chooser, drawing, escaped, frame, h, MIXER_LOOKS, number, onWidth, shown, slider } from "./view.js";

/** What `readerControls` asks of a reader, over the law in place of a model. */
class SlotReader {
  constructor({text, at, settings = {}}) {
    Object.assign(this, {name: "slots", task: "slots", sources: {slots: {alphabet: SLOT_ALPHABET.join("")}}, error: ""});
    Object.assign(this, {text: text ?? "", at: at ?? Infinity, settings: {...SLOT_SETTINGS, ...settings}});
    this.read();
  }

  get look() { return MIXER_LOOKS.hml; }

  read() {
    try {
      const ids = tokenize({alphabet: SLOT_ALPHABET}, this.text);
      this.run = {model: {}, tokens: ids, characters: [...this.text], ...fillSlots(ids, this.settings)};
      this.right = ids.map((_, t) => (this.guess(t).probability ? this.run.characters[t + 1] ?? null : null));
      this.error = "";
    } catch (error) {
      this.error = error.message;
    }
    this.at = bound(this.at, 0, (this.run?.characters.length ?? 1) - 1);
    return !this.error;
  }

  /** What the slots of earlier chunks say after token t: that of its cue, "·" where none holds it. */
  guess(t) {
    const key = keyOf(this.run.tokens[t].id);
    const found = this.memory(t)[this.run.tokens[t].next].filter((slot) => slot.time >= 0 && dot(slot.key, key) > 0.9);
    return found.length ? {character: SLOT_ALPHABET[found[0].id], probability: 1} : {character: "·", probability: 0};
  }

  /** The slots that token t reads: written by the chunks before its own. */
  memory(t) { return this.run.states[Math.min(this.run.tokens[t].chunk, this.run.states.length - 1)]; }
}

/** Why a token is in the memory or not, in words. */
export function reasonOf(token, run) {
  const name = (t) => `“${shown(run.characters[t - 1] ?? "")}${shown(run.characters[t] ?? "")}”`;
  if (token.score === undefined) return "its chunk is not whole yet: nothing of it is written";
  const score = `${number(token.score)} ${token.score > token.theta ? "is above" : "is not above"} the threshold ${number(token.theta)}`;
  if (token.t === 0) return "nothing stood before the first token";
  if (!token.open) return `not written: ${score}`;
  if (token.place < 0) return `lost: ${score}, but bucket ${token.bucket + 1} was full of what came before it in rank`;
  const where = `bucket ${token.bucket + 1}, slot ${(token.place % run.settings.ways) + 1}`;
  if (!token.stands) return `merged into a later token of its chunk, in ${where}: ${score}`;
  if (token.merged) return `took the place of what had its cue, in ${where}: ${score}`;
  return `written to ${where}: ${score}${token.evicted >= 0 ? `; it drove out ${name(token.evicted)}` : ""}`;
}

/** Open the explorer in `element`; returns {reader, draw, destroy}. */
export function slotsExplorer(element, sources, options = {}, told = () => {}) {
  const root = frame(element, "Slots explorer: buckets that fill, what is driven out, and why");
  const reader = new SlotReader(options);
  root.parentElement.style.setProperty("--accent", reader.look.color);
  const controls = readerControls(reader, () => {
    draw();
    told({model: reader.name, text: reader.text, at: reader.at});
  });
  const set = (name) => (value) => {
    reader.settings = {...reader.settings, [name]: Number.isNaN(Number(value)) ? value : Number(value)};
    controls.again({});
  };
  const gates = Object.entries(SLOT_GATES).map(([key, {label}]) => [key, label]);
  const knobs = [
    chooser("Written is", gates, reader.settings.gate, set("gate")).element,
    chooser("Driven out is", SLOT_EVICTIONS, reader.settings.evict, set("evict")).element,
    slider("Density", {min: 0.1, max: 0.6, step: 0.05, value: reader.settings.density}, set("density")),
    slider("Ways", {min: 1, max: 4, step: 1, value: reader.settings.ways, digits: 0}, set("ways")),
  ].map((knob) => knob.element ?? knob);
  const map = drawing("Map of slots: a row a bucket, a column a way"), bars = drawing("Scores of the chunk's tokens, and the threshold");
  const title = h("h3", {}, ""), words = h("p", {class: "words", "aria-live": "polite"}), holder = h("div", {}, map), beside = h("div", {}, bars);

  /** The slots after the chunk of the chosen token, those that it changed marked. */
  function drawMap() {
    const {run, at} = reader, done = Math.min(run.tokens[at].chunk + 1, run.states.length - 1);
    const whole = run.tokens[at].score !== undefined, after = run.states[done], before = run.states[whole ? done - 1 : done];
    const width = bound(holder.clientWidth || 420, 220, 560), left = 58, {buckets, ways} = run.settings, cell = (width - left - 4) / ways, row = 30;
    const parts = after.map((bucket, n) => {
      const own = n === run.tokens[at].bucket, read = n === run.tokens[at].next;
      const line = bucket.map((slot, w) => {
        const x = left + w * cell, y = 4 + n * row, old = before[n][w], fresh = slot.time !== old.time;
        const pair = (s) => escaped(shown(SLOT_ALPHABET[s.cue]) + shown(SLOT_ALPHABET[s.id]));
        const gone = fresh && old.time >= 0 && old.cue !== slot.cue;
        const fill = slot.time < 0 ? "none" : `var(--accent)" fill-opacity="${0.12 + 0.6 * bound(slot.priority, 0, 1)}`;
        const mine = slot.time === at ? 3 : fresh ? 1.8 : 0.8;
        return `<rect x="${x}" y="${y}" width="${cell - 5}" height="${row - 5}" rx="4" fill="${fill}" stroke="${fresh ? "var(--ink)" : "var(--line)"}" stroke-width="${mine}"/>`
          + (slot.time < 0 ? "" : `<text x="${x + (cell - 5) / 2}" y="${y + 17}" text-anchor="middle" style="fill:var(--ink);font-family:monospace">${pair(slot)}${slot.hits > 1 ? ` ×${slot.hits}` : ""}</text>`)
          + (gone ? `<path d="M${x + 4} ${y + 5}l7 7M${x + 11} ${y + 5}l-7 7" stroke="var(--blue)" stroke-width="1.8"/><text x="${x + 14}" y="${y + 12}" style="fill:var(--blue);font-size:9px">${pair(old)}</text>` : "");
      });
      const mark = `${own ? "▸" : ""}${read ? "?" : ""}`;
      return `<text x="${left - 8}" y="${21 + n * row}" text-anchor="end"${own || read ? ` style="fill:var(--ink);font-weight:700"` : ""}>${mark} ${n + 1}</text>${line.join("")}`;
    });
    map.setAttribute("viewBox", `0 0 ${width} ${8 + buckets * row}`);
    map.innerHTML = parts.join("");
  }

  /** The scores of the chosen token's chunk as bars from their least, the threshold a line. */
  function drawBars() {
    const {run, at} = reader, part = run.tokens.filter((token) => token.chunk === run.tokens[at].chunk), known = part[0].score !== undefined;
    const width = Math.max(200, beside.clientWidth || 280), row = 24, left = 30, right = width - 8;
    const values = known ? part.map((token) => token.score).concat(part[0].theta) : part.map((token) => token.surprise);
    const low = Math.min(0, ...values), high = Math.max(...values, low + 1e-6), x = (value) => left + ((value - low) / (high - low)) * (right - left);
    const lines = part.map((token, i) => {
      const y = 4 + i * row, value = known ? token.score : token.surprise, style = token.open ? `fill="var(--accent)"` : `fill="none" stroke="var(--accent)"`;
      const here = token.t === at ? ` style="fill:var(--ink);font-weight:700"` : "";
      return `<rect x="${x(Math.min(0, value))}" y="${y}" width="${Math.max(1, Math.abs(x(value) - x(0)))}" height="${row - 9}" ${style}/><text x="${left - 8}" y="${y + 12}" text-anchor="end"${here}>${escaped(shown(run.characters[token.t]))}</text>`;
    });
    if (known && run.settings.gate !== "every") lines.push(`<path d="M${x(part[0].theta)} 0V${4 + part.length * row}" stroke="var(--ink)" stroke-width="1.6" stroke-dasharray="4 3"/>`);
    bars.setAttribute("viewBox", `0 0 ${width} ${8 + part.length * row}`);
    bars.innerHTML = lines.join("");
    title.textContent = known ? `Chunk ${part[0].chunk + 1}: scores and the threshold` : `Chunk ${part[0].chunk + 1} is not whole: surprise so far`;
  }

  function draw() {
    if (!reader.run) return;
    drawMap();
    drawBars();
    const {run, at} = reader, token = run.tokens[at], open = run.tokens.filter((one) => one.open).length;
    const whole = run.tokens.filter((one) => one.score !== undefined).length, name = `“${shown(run.characters[at])}” (token ${at + 1})`;
    const guess = reader.guess(at), says = guess.probability ? `its slots say that “${guess.character}” follows` : "no slot holds it as a cue";
    words.textContent = `${name}, which surprises by ${number(token.surprise, 1)} nats: ${reasonOf(token, run)}. Asked by it, ${says}. `
      + `Of ${whole} tokens in whole chunks ${open} passed the gate, ${number((100 * open) / Math.max(1, whole), 0)} %.`;
  }

  const key = h("div", {class: "key"});
  key.innerHTML = `<span>“ab”: after a came b; fuller: the more it was worth when written</span><span>heavy edge: written by this chunk</span>
<span><svg viewBox="0 0 20 12"><path d="M5 2l8 8M13 2l-8 8" stroke="var(--blue)" stroke-width="1.8"/></svg>driven out by it</span>
<span>▸ bucket of the token, ? bucket that it asks</span>`;
  root.append(...controls.elements, h("div", {class: "bar"}, ...knobs),
    h("div", {class: "split"}, h("div", {}, holder, key), h("div", {}, title, beside)), words);
  draw();
  const end = onWidth(root, draw);
  return {reader, controls, draw, destroy: () => { end(); controls.stop(); }};
}
