// Elements, drawing helpers and the look that all explorers share.

/** An HTML element; attributes that are functions are listeners, children may be texts. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** An empty SVG drawing with a name for those who cannot see it. */
export function drawing(label, className = "") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", className);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  return svg;
}

export const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
export const number = (x, digits = 2) => (Math.abs(x) < 0.5 * 10 ** -digits ? 0 : x).toFixed(digits).replace("-", "−");
/** Two digits that matter, and the minus sign that print has. */
export const brief = (x) => (Math.abs(x) < 5e-5 ? "0" : String(Number(x.toPrecision(2))).replace("-", "−"));
export const signedBrief = (x) => (x >= 5e-5 ? "+" : "") + brief(x);
export const signed = (x, digits = 2) => (x > 0 ? "+" : "") + number(x, digits);
export const shown = (character) => ({" ": "␣", "\n": "↵"})[character] ?? character;
export const bound = (x, low, high) => Math.min(high, Math.max(low, x));

/** One colour a mixer, as in every figure of the book (hmlcore.figures.style). */
export const MIXER_LOOKS = {
  hml: {label: "HML", color: "#D55E00"},
  gated_deltanet: {label: "Gated DeltaNet", color: "#E69F00"},
  attention: {label: "Attention", color: "#0072B2"},
  gru: {label: "GRU", color: "#009E73"},
};
const MODEL_LABELS = {
  hml: "HML, recall", "hml-text": "HML, sentences", "hml-start": "HML before training", "gated-deltanet-start": "Gated DeltaNet before training", "hml-leapfrog": "HML with leapfrog, recall", "hml-sums": "HML with rotors, sums modulo 7",
  "gated-deltanet": "Gated DeltaNet, recall", gru: "GRU, recall", attention: "Attention, recall",
};
export const modelLabel = (name) => MODEL_LABELS[name] ?? name;

const DARK = "--ink:#e6e6e6;--soft:#9aa1ab;--line:#4a5160;--faint:#2b3038;--paper:#14181e;--blue:#56B4E9;color-scheme:dark;";
const LOOK = `
.hmlx{--ink:#222832;--soft:#5b6470;--line:#c3c9d1;--faint:#edf0f3;--paper:#fff;--blue:#0072B2;color:var(--ink);
  color-scheme:light;font:15px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif;container-type:inline-size;margin:1rem 0;text-align:left}
html[data-theme=dark] .hmlx,body[data-jp-theme-light=false] .hmlx,body.vscode-dark .hmlx{${DARK}}
@media (prefers-color-scheme:dark){html:not([data-theme]) body:not([data-jp-theme-light]):not(.vscode-light) .hmlx{${DARK}}}
.hmlx *{box-sizing:border-box}
.hmlx .bar{display:flex;flex-wrap:wrap;gap:.45rem .8rem;align-items:center;margin:.5rem 0}
.hmlx label{display:inline-flex;gap:.4rem;align-items:center;color:var(--soft);font-size:.9em}
.hmlx select,.hmlx input[type=text],.hmlx button{font:inherit;color:var(--ink);background:var(--paper);
  border:1px solid var(--line);border-radius:6px;padding:.25rem .55rem;min-height:2.1rem;max-width:100%}
.hmlx input[type=text]{flex:1 1 14rem;font-family:ui-monospace,Menlo,Consolas,monospace;letter-spacing:.06em}
.hmlx button{cursor:pointer}.hmlx button:hover{border-color:var(--ink)}
.hmlx button[aria-pressed=true]{background:var(--ink);color:var(--paper);border-color:var(--ink)}
.hmlx :focus-visible{outline:2px solid var(--blue);outline-offset:2px}
.hmlx input[type=range]{accent-color:var(--accent);min-width:7rem}
.hmlx .scrub{width:100%;margin:.1rem 0 .3rem}
.hmlx output{font-variant-numeric:tabular-nums;color:var(--ink);min-width:3.6em}
.hmlx .tokens{display:flex;flex-wrap:wrap;gap:3px;margin:.4rem 0;padding:0;border:0}
.hmlx .tokens button{display:flex;flex-direction:column;align-items:center;min-width:1.75rem;min-height:2.9rem;padding:.1rem .2rem;
  font-family:ui-monospace,Menlo,Consolas,monospace;line-height:1.25;border-color:transparent;background:var(--faint)}
.hmlx .tokens button[aria-current=true]{border-color:var(--accent);box-shadow:0 0 0 1px var(--accent)}
.hmlx .tokens button.frozen{background:color-mix(in srgb,var(--blue) 26%,var(--paper))}
.hmlx .tokens button.later{opacity:.5}
.hmlx .tokens i{align-self:flex-start;height:4px;margin-top:auto;border-radius:2px;background:var(--accent)}
.hmlx .tokens small{font-size:.72em;color:var(--soft);white-space:nowrap}
.hmlx .tokens .right,.hmlx .tokens .wrong{color:var(--ink);font-weight:600}
.hmlx .planes{display:grid;gap:.6rem;grid-template-columns:repeat(4,minmax(0,1fr))}
.hmlx .hmlx-inner figure{margin:0;padding:0;width:auto}.hmlx figure figcaption{font-size:.82em;color:var(--soft);text-align:center;padding:0}
.hmlx .plane{border:1px solid var(--line);border-radius:8px;padding:2px;cursor:pointer;background:none;width:100%;display:block}
.hmlx .plane[aria-pressed=true]{background:none;color:inherit;border-color:var(--accent);box-shadow:0 0 0 1px var(--accent)}
.hmlx svg{display:block;width:100%;overflow:visible}.hmlx .plane svg{overflow:hidden}
.hmlx svg text{fill:var(--soft);font:11px system-ui,sans-serif}
.hmlx .dials{display:grid;grid-template-columns:repeat(auto-fit,minmax(4.2rem,5.6rem));gap:.8rem;margin:.6rem 0}
.hmlx .words{margin:.5rem 0;min-height:3em;font-size:.95em}
.hmlx .key{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.82em;color:var(--soft);margin:.2rem 0}
.hmlx .key[role=status]{align-items:center}.hmlx [hidden]{display:none}
.hmlx .key svg{display:inline-block;width:1.4em;height:.9em;vertical-align:-.08em;margin-right:.3em}
.hmlx .error{border:1px solid var(--ink);border-left-width:5px;border-radius:6px;padding:.5rem .8rem;margin:.5rem 0}
.hmlx .split{display:grid;gap:1.2rem;grid-template-columns:minmax(0,3fr) minmax(0,2fr);align-items:start}
.hmlx .stack{position:relative}.hmlx .stack canvas{position:absolute;left:0;top:0}.hmlx .stack svg{position:relative}
.hmlx table{border-collapse:collapse;width:100%;font-size:.88em}.hmlx td,.hmlx th{padding:.2rem .5rem;text-align:left;border-bottom:1px solid var(--faint)}
.hmlx h3{font-size:1em;margin:.7rem 0 .2rem}
.hmlx .scroll{overflow-x:auto;position:relative}.hmlx .race th:first-child{position:sticky;left:0;background:var(--paper)}
@container (max-width:640px){.hmlx .planes,.hmlx .planes{grid-template-columns:repeat(2,minmax(0,1fr))}.hmlx .split{grid-template-columns:minmax(0,1fr)}}
`;

/** Empty `element` and make it an explorer's; returns the part to fill. */
export function frame(element, label) {
  if (!document.getElementById("hmlx-look")) {
    document.head.append(h("style", {id: "hmlx-look"}, LOOK));
  }
  const inner = h("div", {class: "hmlx-inner"});
  element.replaceChildren(h("section", {class: "hmlx", "aria-label": label}, inner));
  return inner;
}

/** A slider with its name, value and unit; calls `changed` with its number while it moves. */
export function slider(label, {min, max, step, value, unit = "", digits = 2, hint = ""}, changed) {
  const says = (x) => `${number(Number(x), digits)}${unit}`;
  const told = h("output", {}, says(value));
  const input = h("input", {
    type: "range", min, max, step, value, "aria-label": label, "aria-valuetext": says(value), title: hint,
    input: () => { set(input.value); changed(Number(input.value)); },
  });
  const set = (x) => {
    input.value = x;
    told.textContent = says(x);
    input.setAttribute("aria-valuetext", says(x));
  };
  return {element: h("label", {}, label, input, told), input, set};
}

/** A list to choose from: [value, text] each. */
export function chooser(label, entries, value, changed) {
  const select = h("select", {"aria-label": label, change: () => changed(select.value)},
    ...entries.map(([key, text]) => h("option", {value: key, selected: String(key) === String(value)}, text)));
  return {element: h("label", {}, label, select), select};
}

/** Call `draw` now and whenever the element gets another width; returns a function that ends it. */
export function onWidth(element, draw) {
  let width = 0;
  const observer = new ResizeObserver(() => {
    const now = element.clientWidth;
    if (now && now !== width) {
      width = now;
      draw();
    }
  });
  observer.observe(element);
  return () => observer.disconnect();
}
