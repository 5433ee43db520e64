// Explorer 4: the same text through several mixers, side by side: what they answer, and what their states do.

import { dot } from "./arrays.js";
import { EXAMPLES } from "./examples.js";
import { Reader } from "./reader.js";
import { bound, brief, drawing, escaped, frame, h, MIXER_LOOKS, modelLabel, number, onWidth, shown } from "./view.js";

/** ‖state‖ after each token: of matrices all heads together, of attention its keys and values so far. */
function stateNorms(block) {
  if (block.hidden) return block.hidden.map((state) => Math.sqrt(dot(state, state)));
  const squares = block.heads[0].states
    ? block.heads[0].states.map((_, t) => block.heads.reduce(
      (sum, head) => sum + head.states[t].reduce((all, row) => all + dot(row, row), 0), 0))
    : block.heads[0].keys.map((_, t) => block.heads.reduce(
      (sum, head) => sum + dot(head.keys[t], head.keys[t]) + dot(head.values[t], head.values[t]), 0));
  let grown = 0; // a cache keeps what it had
  return squares.map((square) => Math.sqrt(block.heads[0].states ? square : (grown += square)));
}

/** Numbers a state holds after t + 1 tokens, without the short convolution's window. */
function stateFloats(block, t) {
  if (block.hidden) return block.hidden[0].length;
  const head = block.heads[0];
  if (head.states) return block.heads.length * head.states[0].length * head.states[0][0].length;
  return 2 * block.heads.length * head.keys[0].length * (t + 1);
}

/** Open the explorer in `element`; returns {reader, draw, destroy}. */
export function raceExplorer(element, sources, options = {}, told = () => {}) {
  const root = frame(element, "Race: one text through several memories");
  const names = Object.keys(sources).filter((name) => sources[name].task === "recall");
  const readers = names.map((name) => new Reader({[name]: sources[name]}, {...options, model: name}));
  if (!readers.length) throw new Error("No model of recall came with this explorer.");
  let at = Infinity, timer = null;
  const error = h("div", {class: "error", role: "alert", hidden: true}), table = h("table", {});
  const type = h("input", {type: "text", value: readers[0].text, spellcheck: "false", autocomplete: "off",
    "aria-label": "Text that all memories read", input: () => again(type.value)});
  const scrub = h("input", {type: "range", class: "scrub", min: 0, step: 1, "aria-label": "Token that is being read",
    input: () => move(Number(scrub.value))});
  const strip = drawing("Norm of each state over time"), holder = h("div", {}, strip);
  const words = h("p", {class: "words", "aria-live": "polite"});
  const play = h("button", {type: "button", click: () => (timer ? stop() : begin())}, "▶ Play");
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "▶ Play"; };
  const begin = () => {
    if (at >= length() - 1) move(0);
    play.textContent = "❚❚ Pause";
    timer = setInterval(() => (at < length() - 1 ? move(at + 1) : stop()), 450);
  };
  const length = () => readers[0].run?.tokens.length ?? 1;
  const show = (reader) => MIXER_LOOKS[reader.run.model.mixer];

  function again(text) {
    for (const reader of readers) Object.assign(reader, {text}).read();
    error.textContent = readers.map((reader) => reader.error).find(Boolean) ?? "";
    error.hidden = !error.textContent;
    at = Infinity;
    build();
    move(at);
  }

  function build() {
    if (!readers.every((reader) => reader.run)) return;
    scrub.max = length() - 1;
    const head = h("tr", {}, h("th", {scope: "col"}, "read"),
      ...readers[0].run.characters.map((c) => h("th", {scope: "col"}, shown(c))), h("th", {scope: "col"}, "right"));
    const rows = readers.map((reader) => {
      const cells = reader.run.characters.map((_, t) => {
        const right = reader.right[t], guess = reader.guess(t);
        if (right === null) return h("td", {}, "");
        return h("td", {title: `probability ${number(guess.probability)}`},
          `${shown(guess.character)} ${guess.character === right ? "✓" : "✗"}`);
      });
      return h("tr", {}, h("th", {scope: "row"}, h("span", {style: `color:${show(reader).color}`}, "● "), show(reader).label),
        ...cells, h("td", {}, ""));
    });
    table.replaceChildren(h("thead", {}, head), h("tbody", {}, ...rows));
  }

  function move(t) {
    at = bound(t, 0, length() - 1);
    scrub.value = at;
    draw();
    told({model: names[0], text: readers[0].text, at});
  }

  function draw() {
    if (!readers.every((reader) => reader.run)) return;
    const said = [];
    [...table.tBodies[0].rows].forEach((row, i) => {
      const reader = readers[i], asked = reader.right.map((right, t) => [right, t]).filter(([right, t]) => right !== null && t <= at);
      const hits = asked.filter(([right, t]) => reader.guess(t).character === right).length;
      [...row.cells].slice(1, -1).forEach((cell, t) => { cell.style.opacity = t <= at ? 1 : 0.12; });
      row.cells[row.cells.length - 1].textContent = `${hits} of ${asked.length}`;
      said.push(`${show(reader).label} ${hits} of ${asked.length}, with ${stateFloats(reader.run.blocks.at(-1), at)} numbers of state`);
    });
    const here = table.tHead.rows[0].cells[at + 1]; // on a phone the table is wider than the page
    table.parentElement.scrollLeft = here.offsetLeft + 3 * here.offsetWidth - table.parentElement.clientWidth;
    words.textContent = `After token ${at + 1}: ${said.join("; ")}.`;
    drawNorms();
  }

  function drawNorms() {
    const width = Math.max(280, holder.clientWidth || 640), left = 40, high = 150, room = width - left - 12;
    const norms = readers.map((reader) => stateNorms(reader.run.blocks.at(-1)));
    const most = Math.max(1e-9, ...norms.flat()), each = room / length(), parts = [];
    parts.push(`<rect x="${left + each * at}" y="6" width="${each}" height="${high + 22}" fill="var(--faint)"/>`);
    parts.push(`<path d="M${left} 10V${high}H${width - 8}" fill="none" stroke="var(--line)"/>`);
    parts.push(`<text x="${left - 6}" y="16" text-anchor="end">${brief(most)}</text><text x="${left - 6}" y="${high}" text-anchor="end">0</text>`);
    readers[0].run.characters.forEach((c, t) => {
      if (each > 9 || t % Math.ceil(9 / each) === 0) {
        parts.push(`<text x="${left + each * (t + 0.5)}" y="${high + 18}" text-anchor="middle">${escaped(shown(c))}</text>`);
      }
    });
    norms.forEach((values, i) => {
      const points = values.map((value, t) => `${t ? "L" : "M"}${(left + each * (t + 0.5)).toFixed(1)} ${(high - (value / most) * (high - 14)).toFixed(1)}`);
      const dash = ["", "7 4", "2 3", "9 3 2 3"][i % 4];
      parts.push(`<path d="${points.join("")}" fill="none" stroke="${show(readers[i]).color}" stroke-width="2.2" stroke-dasharray="${dash}"/>`);
    });
    strip.setAttribute("viewBox", `0 0 ${width} ${high + 30}`);
    strip.innerHTML = parts.join("");
  }

  const examples = EXAMPLES.recall.map(([name, text]) => h("button", {type: "button", click: () => { type.value = text; again(text); }}, name));
  root.parentElement.style.setProperty("--accent", MIXER_LOOKS.hml.color);
  root.append(h("div", {class: "bar"}, h("label", {style: "flex:1"}, "Text", type)),
    h("div", {class: "bar"}, play, "Try ", ...examples), error, scrub, h("div", {class: "scroll race"}, table),
    h("h3", {}, "Norm of the state after each token"), holder, words);
  again(readers[0].text);
  const end = onWidth(holder, () => readers[0].run && drawNorms());
  return {reader: readers[0], draw, destroy: () => { end(); stop(); }};
}
