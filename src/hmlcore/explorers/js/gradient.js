// Explorer 3: what of a gradient survives L tokens, and the eigenvalues of the steps it runs back through.

import { KNOBS } from "./mixers.js";
import { Reader, readerControls } from "./reader.js";
import { eigenvalues, gainByLag } from "./stability.js";
import { brief, drawing, frame, h, number, onWidth, slider } from "./view.js";

const FLOOR = 1e-12;

/** Open the explorer in `element`; returns {reader, draw, destroy}. */
export function gradientExplorer(element, sources, options = {}, told = () => {}) {
  const root = frame(element, "Gradient microscope: what of a gradient survives many tokens");
  const reader = new Reader(sources, options);
  reader.knobs = {...KNOBS};
  let gains = [], all = [];
  const controls = readerControls(reader, (what) => {
    if (what === "run") prepare();
    draw();
    told({model: reader.name, text: reader.text, at: reader.at});
  });
  const curve = drawing("Norm of the gradient against lag, a line a head"), plane = drawing("Eigenvalues of the step in the complex plane");
  const holder = h("div", {}, curve), side = h("div", {style: "max-width:19rem"}, plane), words = h("p", {class: "words", "aria-live": "polite"});
  const knob = (label, name, settings) => slider(label, {value: KNOBS[name], ...settings}, (x) => {
    reader.knobs[name] = x;
    reader.read();
    controls.refresh();
    prepare();
    draw();
  });
  const friction = knob("Friction", "friction", {min: 0, max: 3, step: 0.05, unit: " ×"});
  const dt = knob("Time step Δt", "dt", {min: 0, max: 3, step: 0.05, unit: " ×"});

  const physics = h("div", {class: "bar"}, dt.element, friction.element);

  function prepare() {
    if (!reader.run) return;
    physics.style.display = reader.run.model.trace ? "none" : ""; // it takes the model to change it
    const {heads} = reader.run.blocks.at(-1);
    if (!heads[0]?.tokens) {
      reader.error = `${reader.look.label} has no step of a matrix memory to look into: choose another model.`;
      controls.refresh();
      gains = [];
      return;
    }
    gains = heads.map(() => [1]); // drawn from the chosen token on
    all = heads.map((head) => head.tokens.map(eigenvalues));
    root.parentElement.style.setProperty("--accent", reader.look.color);
  }

  function draw() {
    if (!gains.length) {
      curve.innerHTML = plane.innerHTML = words.textContent = "";
      return;
    }
    // Backward from the chosen token, as a loss there would send it.
    gains = reader.run.blocks.at(-1).heads.map((head) => gainByLag(head.tokens.slice(0, reader.at + 1)));
    drawCurve();
    drawPlane();
    const last = gains.map((line) => line.at(-1)), keep = gains.map((line) => Math.exp(Math.log(Math.max(line.at(-1), 1e-30)) / (line.length - 1)));
    const best = keep.indexOf(Math.max(...keep));
    words.textContent = `Over ${gains[0].length - 1} tokens head ${best + 1} keeps most of a gradient, ${brief(last[best])} of its norm, `
      + `${number(100 * keep[best], 1)} % a token; the head that keeps least has ${brief(Math.min(...last))}. `
      + "Gates are held fixed: this is the way through the memory itself, not through what chooses its gates.";
  }

  function drawCurve() {
    const width = Math.max(260, holder.clientWidth || 420), high = 230, left = 52, room = width - left - 30;
    const lags = gains[0].length - 1, log = (value) => Math.log10(Math.max(value, FLOOR));
    const values = gains.flat().map(log), low = Math.min(-0.5, ...values) - 0.05, top = Math.max(0, ...values) + 0.02;
    const x = (lag) => left + (room * lag) / Math.max(1, lags), y = (value) => 14 + ((top - value) / (top - low)) * (high - 20), parts = [];
    const decades = Array.from({length: 14}, (_, i) => 10 ** (i - 12)).filter((v) => log(v) >= low && log(v) <= top);
    const ticks = decades.length > 2 ? decades : [1, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02].filter((v) => log(v) >= low);
    for (const tick of ticks) {
      parts.push(`<path d="M${left} ${y(log(tick))}H${width - 30}" stroke="var(--faint)"/><text x="${left - 6}" y="${y(log(tick)) + 4}" text-anchor="end">${tick}</text>`);
    }
    const every = Math.max(1, Math.ceil(lags / 8));
    for (let lag = 0; lag <= lags; lag += every) parts.push(`<text x="${x(lag)}" y="${high + 16}" text-anchor="middle">${lag}</text>`);
    parts.push(`<text x="${left + room}" y="${high + 32}" text-anchor="end">lag L, tokens</text><text x="${left}" y="8">‖∂S(T) / ∂S(T − L)‖, root mean square</text>`);
    gains.forEach((line, i) => {
      const path = line.map((value, lag) => `${lag ? "L" : "M"}${x(lag).toFixed(1)} ${y(log(value)).toFixed(1)}`).join("");
      parts.push(`<path d="${path}" fill="none" stroke="var(--accent)" stroke-width="2" stroke-dasharray="${["", "7 4", "2 3", "9 3 2 3"][i % 4]}"/>`);
      parts.push(`<text x="${width - 26}" y="${y(log(line.at(-1))) + 4}">${i + 1}</text>`);
    });
    curve.setAttribute("viewBox", `0 0 ${width} ${high + 38}`);
    curve.innerHTML = parts.join("");
  }

  function drawPlane() {
    const size = 240, middle = size / 2, scale = 92, parts = [];
    parts.push(`<path d="M8 ${middle}H${size - 8}M${middle} 8V${size - 8}" stroke="var(--line)"/>`);
    parts.push(`<circle cx="${middle}" cy="${middle}" r="${scale}" fill="none" stroke="var(--soft)" stroke-dasharray="4 3"/>`);
    parts.push(`<text x="${middle + scale + 3}" y="${middle - 4}">1</text><text x="${size - 8}" y="${middle + 14}" text-anchor="end">Re</text><text x="${middle + 4}" y="14">Im</text>`);
    all.forEach((tokens) => tokens.forEach(({across, along}, t) => {
      const here = t === reader.at;
      for (const {re, im} of across) {
        parts.push(`<rect x="${middle + scale * re - 3}" y="${middle - scale * im - 3}" width="6" height="6" fill="none" stroke="var(--soft)" stroke-opacity="${here ? 1 : 0.25}"/>`);
      }
      for (const {re, im} of along) {
        parts.push(`<circle cx="${middle + scale * re}" cy="${middle - scale * im}" r="${here ? 5 : 3}" fill="var(--accent)" fill-opacity="${here ? 1 : 0.28}" stroke="${here ? "var(--ink)" : "none"}"/>`);
      }
    }));
    plane.setAttribute("viewBox", `0 0 ${size} ${size}`);
    plane.innerHTML = parts.join("");
  }

  const key = h("div", {class: "key"});
  key.innerHTML = `<span><svg viewBox="0 0 20 12"><circle cx="10" cy="6" r="5" fill="var(--accent)" stroke="var(--ink)"/></svg>along this token's key</span>
<span><svg viewBox="0 0 20 12"><rect x="5" y="1" width="10" height="10" fill="none" stroke="var(--soft)"/></svg>across it (${"α"}, forgetting)</span><span>faint: other tokens; dashed: the unit circle</span>`;
  root.append(...controls.elements, h("div", {class: "split"},
    h("div", {}, h("h3", {}, "Gradient against lag, a line a head"), holder), h("div", {}, h("h3", {}, "Eigenvalues of a step"), side, key)),
  words, physics);
  prepare();
  draw();
  const end = onWidth(holder, () => gains.length && drawCurve());
  return {reader, controls, draw, destroy: () => { end(); controls.stop(); }};
}
