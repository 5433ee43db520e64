// Explorer 1: the phase plane of each head at one address of the memory, the energy, and the rotors.

import { energies } from "./energy.js";
import { KNOBS } from "./mixers.js";
import { HELD_KEY, Reader, readerControls } from "./reader.js";
import { heldOver } from "./readback.js";
import { address, carried } from "./recurrence.js";
import { dot } from "./arrays.js";
import { STRIP_KEY, STRIP_LEFT, stripOf, tokenWidth, trail } from "./strip.js";
import { bound, brief, chooser, drawing, frame, h, number, onWidth, shown, signed, signedBrief, slider } from "./view.js";

const PLANE = 200, MIDDLE = PLANE / 2, REACH = 84;

/** What a head has at address κ, token by token: (q, p) of each pair, before and after the token's force. */
function orbit(head, key) {
  const {tokens, states} = head, width = tokens[0].v.length, two = states[0].length === 2;
  const planes = (state) => {
    const rows = state.map((row) => address(key, row, width));
    return two ? Array.from(rows[0], (q, d) => [q, rows[1][d]])
      : Array.from({length: width / 2}, (_, j) => [rows[0][2 * j], rows[0][2 * j + 1]]);
  };
  const after = states.map(planes);
  const before = tokens.map((token, t) => planes(t ? carried(token, states[t - 1]) : states[0].map((row) => row.map(() => 0))));
  return {after, before, two, largest: after.flat(2).reduce((most, x) => Math.max(most, Math.abs(x)), 1e-6)};
}

const moved = ({before, after}, t) => after[t].map(([q, p], j) => Math.hypot(q - before[t][j][0], p - before[t][j][1]));
const mostOf = (values) => values.indexOf(Math.max(...values));

function arrow([x0, y0], [x1, y1]) {
  const length = Math.hypot(x1 - x0, y1 - y0);
  if (length < 2) return "";
  const ux = (x1 - x0) / length, uy = (y1 - y0) / length, tip = Math.min(8, length);
  const [bx, by] = [x1 - ux * tip, y1 - uy * tip], wing = 0.45 * tip;
  return `<path d="M${x0} ${y0}L${bx} ${by}" stroke="var(--ink)" stroke-width="2.4" fill="none"/>`
    + `<path d="M${x1} ${y1}L${bx - uy * wing} ${by + ux * wing}L${bx + uy * wing} ${by - ux * wing}Z" fill="var(--ink)"/>`;
}

/** The plane of one head as SVG: paths of all pairs, the chosen one in front, well and force of the token. */
function planeOf(head, path, key, at, pair) {
  const scale = REACH / path.largest, place = ([q, p]) => [MIDDLE + scale * q, MIDDLE - scale * p];
  const token = head.tokens[at], share = dot(key, token.k), parts = [];
  parts.push(`<path d="M8 ${MIDDLE}H192M${MIDDLE} 8V192" stroke="var(--line)" stroke-width="1"/>`);
  const target = path.two ? [token.v[pair], 0] : [token.v[2 * pair], token.v[2 * pair + 1]];
  const [tx, ty] = place(target), strength = bound(share * share, 0, 1);
  for (const ring of [1, 2, 3]) {
    const style = `fill="none" stroke="var(--blue)" stroke-opacity="${(strength * 0.75 / ring).toFixed(3)}" stroke-width="1.4"`;
    const size = 15 * ring * ring ** 0.5;
    parts.push(path.two
      ? `<path d="M${tx - size / 2} 6V194M${tx + size / 2} 6V194" ${style}/>`
      : `<circle cx="${tx}" cy="${ty}" r="${size}" ${style}/>`);
  }
  if (strength > 0.02) {
    const o = 0.35 + 0.65 * strength;
    parts.push(`<path d="M${tx - 5} ${ty - 5}l10 10M${tx + 5} ${ty - 5}l-10 10" stroke="var(--blue)" stroke-width="2.4" stroke-opacity="${o}"/>`);
  }
  const count = path.after[0].length, past = (j) => path.after.slice(0, at + 1).map((planes) => place(planes[j]));
  for (let j = 0; j < count; j++) {
    if (j !== pair) parts.push(`<path d="${trail([[MIDDLE, MIDDLE], ...past(j)])}" fill="none" stroke="var(--accent)" stroke-opacity=".22" stroke-width="1"/>`);
  }
  const future = path.after.slice(at).map((planes) => place(planes[pair]));
  parts.push(`<path d="${trail(future)}" fill="none" stroke="var(--soft)" stroke-opacity=".55" stroke-dasharray="2 4"/>`);
  const points = past(pair);
  parts.push(`<path d="${trail([[MIDDLE, MIDDLE], ...points])}" fill="none" stroke="var(--accent)" stroke-width="2" stroke-linejoin="round"/>`);
  for (const [x, y] of points) parts.push(`<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="2" fill="var(--accent)"/>`);
  const now = points[at];
  parts.push(arrow(place(path.before[at][pair]), now));
  parts.push(`<circle cx="${now[0]}" cy="${now[1]}" r="5.5" fill="var(--accent)" stroke="var(--paper)" stroke-width="1.5"/>`);
  parts.push(`<text x="190" y="${MIDDLE - 5}" text-anchor="end">q</text><text x="${MIDDLE + 6}" y="17">p</text>`);
  parts.push(`<text x="8" y="194">±${brief(path.largest)}</text>`);
  return parts.join("");
}

/** One rotor as the hand of a clock, with where it was and the sevenths (or its lattice) as ticks. */
function dialOf(phases, rotor, at, ticks) {
  const point = (turn, r) => [50 + r * Math.sin(2 * Math.PI * turn), 50 - r * Math.cos(2 * Math.PI * turn)];
  const parts = [`<circle cx="50" cy="50" r="40" fill="none" stroke="var(--line)"/>`];
  for (let i = 0; i < ticks; i++) parts.push(`<path d="${trail([point(i / ticks, 36), point(i / ticks, 43)])}" stroke="var(--soft)"/>`);
  for (let back = Math.min(at, 5); back > 0; back--) {
    const [x, y] = point(phases[at - back][rotor], 34);
    parts.push(`<circle cx="${x}" cy="${y}" r="2.6" fill="var(--accent)" fill-opacity="${(0.7 - 0.12 * back).toFixed(2)}"/>`);
  }
  parts.push(`<path d="${trail([[50, 50], point(phases[at][rotor], 36)])}" stroke="var(--accent)" stroke-width="4" stroke-linecap="round"/>`);
  parts.push(`<circle cx="50" cy="50" r="4" fill="var(--accent)"/>`);
  return parts.join("");
}

const KEY = `<span><svg viewBox="0 0 20 12"><path d="M0 6H13" stroke="var(--ink)" stroke-width="2.4"/><path d="M20 6L12 2V10Z" fill="var(--ink)"/></svg>force of this token</span>
<span><svg viewBox="0 0 20 12"><path d="M5 1l10 10M15 1L5 11" stroke="var(--blue)" stroke-width="2.4"/></svg>its well: where it pulls to</span>
<span><svg viewBox="0 0 20 12"><path d="M0 6H20" stroke="var(--soft)" stroke-dasharray="2 3"/></svg>what is still to come</span>`;

/** Open the explorer in `element`; returns {reader, draw, destroy}. */
export function phaseExplorer(element, sources, options = {}, told = () => {}) {
  const root = frame(element, "Phase space explorer: how each head of the memory moves");
  const reader = new Reader(sources, options);
  let head = options.head ?? null, pair = null, frozen = options.frozen ?? 1, paths = [], balance = [], held = [], striped = {};
  reader.knobs = {...KNOBS};
  const controls = readerControls(reader, (what) => {
    if (what === "run") prepare();
    draw();
    told({model: reader.name, text: reader.text, at: reader.at});
  });
  const planes = h("div", {class: "planes"}), dials = h("div", {class: "dials"});
  const strip = drawing("Energy of the chosen head after each token"), words = h("p", {class: "words", "aria-live": "polite"});
  const holder = h("div", {}, strip);
  const freeze = h("button", {type: "button", click: () => { frozen = reader.at; prepare(); draw(); }}, "Freeze this token's key");
  const pairs = chooser("Channel", [[0, "1"]], 0, (value) => { pair = Number(value); draw(); });
  const knob = (label, name, settings) => slider(label, {value: KNOBS[name], ...settings}, (x) => turn({[name]: x}));
  const knobs = {
    dt: knob("Time step Δt", "dt", {min: 0, max: 3, step: 0.05, unit: " ×", hint: "Longer or shorter steps than the model learned"}),
    friction: knob("Friction", "friction", {min: 0, max: 3, step: 0.05, unit: " ×", hint: "At 0 nothing is lost but what is forgotten"}),
    stiffness: knob("Potential β", "stiffness", {min: 0, max: 3, step: 0.05, unit: " ×", hint: "How stiff the well of a token is"}),
    frequency: knob("Potential ω", "frequency", {min: -1.5, max: 1.5, step: 0.05, unit: " rad", hint: "How far a step turns about the association, added"}),
  };
  const reset = h("button", {type: "button", click: () => {
    for (const [name, {set}] of Object.entries(knobs)) set(KNOBS[name]);
    turn(KNOBS);
  }}, "As learned");

  const physics = h("div", {class: "bar"}, ...Object.values(knobs).map((one) => one.element), reset);

  function turn(change) {
    Object.assign(reader.knobs, change);
    reader.read();
    controls.refresh();
    prepare();
    draw();
  }

  const blockOf = () => reader.run?.blocks.at(-1);

  function prepare() {
    if (!reader.run) return;
    const {heads} = blockOf();
    if (!heads[0]?.tokens) {
      reader.error = `${reader.look.label} has no phase space: choose a Hamiltonian memory.`;
      controls.refresh();
      return;
    }
    physics.style.display = reader.run.model.trace ? "none" : ""; // it takes the model to change it
    frozen = bound(frozen, 0, reader.run.tokens.length - 1);
    paths = heads.map((one) => orbit(one, one.tokens[frozen].k));
    balance = heads.map(energies);
    held = heldOver(heads);
    // Until somebody chooses: the head whose plane shows most of the token that is read, and its pair that does.
    head = bound(head ?? mostOf(paths.map((path) => Math.max(...moved(path, reader.at)) / path.largest)), 0, heads.length - 1);
    pair ??= mostOf(moved(paths[head], reader.at));
    const {two, after} = paths[0], count = after[0].length;
    pair = bound(pair, 0, count - 1);
    pairs.select.replaceChildren(...after[0].map((_, j) => h("option", {value: j, selected: j === pair},
      two ? `value ${j + 1}` : `values ${2 * j + 1}, ${2 * j + 2}`)));
    knobs.stiffness.element.hidden = !two;
    knobs.stiffness.element.style.display = two ? "" : "none";
    knobs.frequency.element.style.display = two ? "none" : "";
    if (planes.children.length !== heads.length) {
      planes.replaceChildren(...heads.map((_, i) => {
        const svg = drawing(`Phase plane of head ${i + 1}`), caption = h("figcaption", {});
        svg.setAttribute("viewBox", `0 0 ${PLANE} ${PLANE}`);
        return h("figure", {}, h("button", {type: "button", class: "plane", "aria-label": `Head ${i + 1}`,
          click: () => { head = i; draw(); }}, svg), caption);
      }));
    }
    root.parentElement.style.setProperty("--accent", reader.look.color);
  }

  function draw() {
    if (!reader.run || !paths.length) return;
    const {heads, phases, lattice} = blockOf(), at = reader.at, c = reader.run.characters;
    [...controls.tokens.children].forEach((cell, t) => cell.classList.toggle("frozen", t === frozen));
    heads.forEach((one, i) => {
      const figure = planes.children[i], token = one.tokens[at];
      figure.querySelector("svg").innerHTML = planeOf(one, paths[i], one.tokens[frozen].k, at, pair);
      figure.querySelector("button").setAttribute("aria-pressed", i === head);
      const turns = token.turn === undefined || paths[i].two ? `γ ${number(token.gamma ?? 0)}` : `θ ${number(token.theta)}`;
      figure.querySelector("figcaption").textContent = `head ${i + 1} · β ${number(token.beta)} · ${turns}`;
    });
    controls.hold(held[at], Math.max(...held.flat(), 1e-9));
    drawStrip();
    drawDials(phases, lattice);
    const {work, forgetting, step, energy} = balance[head], guess = reader.guess(at);
    const share = dot(heads[head].tokens[frozen].k, heads[head].tokens[at].k);
    const changed = Object.entries(KNOBS).some(([name, value]) => reader.knobs[name] !== value);
    const most = [...held[at].keys()].sort((a, b) => held[at][b] - held[at][a]).slice(0, 3);
    words.textContent = `Token ${at + 1}, “${shown(c[at])}”: the model answers “${shown(guess.character)}” (${number(guess.probability)}). `
      + `It holds most of ${most.map((s) => `token ${s + 1}, “${shown(c[s])}”`).join("; ")}. `
      + `In head ${head + 1} the new well does work ${signedBrief(work[at])}, forgetting changes ${signedBrief(forgetting[at])}, the step `
      + `${step[at] <= 0 ? "dissipates" : "adds"} ${brief(Math.abs(step[at]))}; energy ${brief(energy[at])} remains. `
      + `The address drawn is the key of token ${frozen + 1}, “${shown(c[frozen])}”; this token's key meets it at cos ${number(share)}.`
      + (changed ? " Its physics is not what the model learned." : "");
  }

  /** The strip anew where its energies or its width are others; else only the place that is marked moves. */
  function drawStrip() {
    const width = Math.max(280, holder.clientWidth || 640), {characters} = reader.run;
    if (balance[head] !== striped.balance || width !== striped.width) {
      striped = {balance: balance[head], width};
      strip.setAttribute("viewBox", `0 0 ${width} 172`);
      strip.innerHTML = stripOf(balance[head], characters, width);
    }
    strip.querySelector(".here").setAttribute("x", STRIP_LEFT + tokenWidth(characters.length, width) * reader.at);
  }

  function drawDials(phases, lattice) {
    dials.hidden = !phases;
    dials.style.display = phases ? "" : "none";
    if (!phases) return;
    const ticks = reader.task === "sums" ? 7 : 12;
    if (dials.children.length !== phases[0].length) {
      dials.replaceChildren(...Array.from(phases[0], (_, i) => {
        const svg = drawing(`Rotor ${i + 1}`);
        svg.setAttribute("viewBox", "0 0 100 100");
        return h("figure", {}, svg, h("figcaption", {}));
      }));
    }
    [...dials.children].forEach((figure, i) => {
      figure.querySelector("svg").innerHTML = dialOf(phases, i, reader.at, lattice[i] > 0 && lattice[i] < 30 ? lattice[i] : ticks);
      const turn = phases[reader.at][i];
      figure.querySelector("figcaption").textContent = `Φ${"₁₂₃₄₅₆₇₈"[i] ?? ""} ${signed(turn)} turn`;
    });
  }

  const note = (html) => { const key = h("div", {class: "key"}); key.innerHTML = html; return key; };
  root.append(...controls.elements, note(HELD_KEY), h("div", {class: "bar"}, freeze, pairs.element), planes, note(KEY), dials,
    h("h3", {}, "Energy of the chosen head, ½‖P‖² + ½β‖kᵀQ − v‖²"), holder, note(STRIP_KEY), words,
    physics);
  prepare();
  draw();
  const end = onWidth(holder, () => reader.run && paths.length && drawStrip());
  return {reader, controls, draw, destroy: () => { end(); controls.stop(); }};
}
