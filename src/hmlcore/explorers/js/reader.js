// What every explorer of one model shares: a model, a text, a place in it, and what the model made of it.

import { answers, EXAMPLES, SENTENCES, textFor } from "./examples.js";
import { guesses, LONGEST, openModel, runModel, spell, spelled, tokenize } from "./model.js";
import { isTrace, openTrace } from "./trace.js";
import { fromBase85 } from "./safetensors.js";
import { bound, chooser, h, MIXER_LOOKS, modelLabel, number, shown } from "./view.js";

/** The source of a model whose script the page left until somebody asks for it. */
const brought = (name, later) => new Promise((resolve, reject) => {
  const here = () => globalThis.hmlModels?.[name], failed = () => reject(new Error(`${modelLabel(name)} could not be loaded from ${later}.`));
  document.head.append(h("script", {src: later, load: () => (here() ? resolve(here()) : failed()), error: failed}));
});

/** The state of an explorer over `sources` (name → {weights, alphabet}); opens each model when it is asked for. */
export class Reader {
  constructor(sources, {model, text, at} = {}) {
    this.sources = sources;
    this.opened = {};
    this.knobs = {};
    this.error = "";
    this.foreign = false; // whether the error is that the model does not read this text's characters
    this.name = sources[model] ? model : Object.keys(sources)[0];
    this.text = text ?? EXAMPLES.recall[0][1];
    this.at = at ?? Infinity;
    this.read();
  }

  get model() {
    const {weights, alphabet} = this.sources[this.name];
    const open = () => {
      const buffer = fromBase85(weights);
      return isTrace(buffer) ? openTrace(buffer, this.name) : openModel(buffer, alphabet, this.name);
    };
    return (this.opened[this.name] ??= open());
  }

  get task() { return this.sources[this.name].task; }

  get look() { return MIXER_LOOKS[this.run?.model.mixer] ?? MIXER_LOOKS.hml; }

  /** Run the model on the text; where that fails, the last picture stays and `error` says why. */
  read() {
    try {
      const {model} = this;
      if (model.trace) return this.show(model);
      const tokens = tokenize(model, this.text), run = runModel(model, tokens, this.knobs);
      if (!run.logits.at(-1).every(Number.isFinite)) {
        throw new Error("The memory has grown beyond all numbers: take a smaller time step or more friction.");
      }
      this.run = {model, tokens, characters: spelled(model, this.text), ...run};
      this.right = model.bytes ? tokens.map((_, t) => (t + 1 < tokens.length ? spell(model, tokens[t + 1]) : null))
        : answers(this.task, this.run.characters);
      this.error = "";
    } catch (error) {
      this.error = error.message;
      this.foreign = Boolean(error.foreign);
    }
    this.at = bound(this.at, 0, (this.run?.tokens.length ?? 1) - 1);
    return !this.error;
  }

  /** A saved trace, which has its text and its numbers, instead of a run. */
  show(model) {
    this.run = {model, tokens: model.trace.characters, ...model.trace};
    this.right = answers(this.task, this.run.characters);
    this.error = "";
    this.at = bound(this.at, 0, this.run.tokens.length - 1);
    return true;
  }

  guess(t) { return guesses(this.run.model, this.run, t, 1)[0]; }
}

const WORD = /[a-z]{3}/; // which no pairs of keys and values are

/** What the bars under the tokens say. */
export const HELD_KEY = `<span><svg viewBox="0 0 20 12"><rect y="4" width="16" height="4" rx="2" fill="var(--accent)"/></svg>bar under a token: how much of it the memory still holds</span>`;

/** Model, text, examples, tokens and the scrubber; `changed(what)` is told "run" or "at". */
export function readerControls(reader, changed) {
  const error = h("div", {class: "error", role: "alert", hidden: true}), hint = h("div", {class: "key", role: "status"});
  const type = h("input", {
    type: "text", value: reader.text, maxlength: LONGEST + 20, spellcheck: "false", autocomplete: "off",
    autocapitalize: "off", "aria-label": "Text that the memory reads", input: () => again({text: type.value}),
  });
  const examples = h("span", {class: "bar", style: "margin:0"});
  const tokens = h("div", {class: "tokens", role: "group", "aria-label": "Tokens; under each, what the model answers"});
  const scrub = h("input", {
    type: "range", class: "scrub", min: 0, step: 1, "aria-label": "Token that is being read",
    input: () => move(Number(scrub.value)),
  });
  let timer = null;
  const play = h("button", {type: "button", "aria-pressed": "false", click: () => (timer ? stop() : begin())}, "▶ Play");
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.setAttribute("aria-pressed", "false");
    play.textContent = "▶ Play";
  };
  const begin = () => {
    if (!reader.run) return;
    if (reader.at >= reader.run.tokens.length - 1) move(0);
    play.setAttribute("aria-pressed", "true");
    play.textContent = "❚❚ Pause";
    timer = setInterval(() => (reader.at < reader.run.tokens.length - 1 ? move(reader.at + 1) : stop()), 450);
  };
  const several = Object.keys(reader.sources).length > 1;
  const models = chooser("Model", Object.keys(reader.sources).map((name) => [name, modelLabel(name)]), reader.name,
    (name) => again({name}));

  function bring(name) {
    brought(name, reader.sources[name].later).then((source) => {
      reader.sources[name] = source;
      if (models.select.value === name) again({name, text: type.value});
    }, ({message}) => {
      models.select.value = reader.name;
      reader.error = message;
      refresh();
    });
  }

  function again({text = reader.text, name = reader.name}) {
    if (reader.sources[name].later) {
      bring(name);
      return;
    }
    const atEnd = reader.at >= (reader.run?.tokens.length ?? 1) - 1;
    if (name !== reader.name && text === reader.text) type.value = text = textFor(reader.sources[name], reader.task, text);
    Object.assign(reader, {text, name, at: atEnd || text !== reader.text ? Infinity : reader.at});
    reader.read();
    refresh();
    changed("run");
  }

  function move(t) {
    if (!reader.run) return;
    reader.at = bound(t, 0, reader.run.tokens.length - 1);
    place();
    changed("at");
  }

  function place() {
    scrub.value = reader.at;
    const c = reader.run.characters[reader.at];
    scrub.setAttribute("aria-valuetext", `token ${reader.at + 1} of ${reader.run.tokens.length}, ${shown(c)}`);
    [...tokens.children].forEach((cell, t) => {
      cell.setAttribute("aria-current", t === reader.at);
      cell.classList.toggle("later", t > reader.at);
    });
  }

  function cell(c, t) {
    return h("button", {
      type: "button", click: () => move(t),
      keydown: (event) => {
        const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
        if (!by) return;
        event.preventDefault();
        move(t + by);
        tokens.children[reader.at].focus();
      },
    }, shown(c), h("small", {}), h("i", {hidden: true}));
  }

  /** What the model answers at a token: plain where nobody asked, with ✓ or ✗ where something is right. */
  function answer(element, t) {
    const {character, probability} = reader.guess(t), right = reader.right[t], small = element.querySelector("small");
    // Of a text many continuations are right; only where the model has its own is worth a mark.
    const wrong = reader.run.model.bytes ? "" : "wrong", verdict = right === null ? "" : character === right ? "right" : wrong;
    small.className = verdict;
    small.textContent = shown(character) + {right: " ✓", wrong: " ✗", "": ""}[verdict];
    small.style.opacity = verdict ? 1 : 0.25 + 0.5 * probability;
    element.title = `answers ${shown(character)} with probability ${number(probability)}`;
    element.setAttribute("aria-label", `token ${t + 1}, ${shown(reader.run.characters[t])}; the model ${element.title}`);
  }

  /** Choose the model that reads any text, for this one if it is given. */
  function readSentences(text = type.value) {
    type.value = text;
    models.select.value = SENTENCES;
    again({text, name: SENTENCES});
  }

  /** Under each token up to the one that is read a bar: `values`, how much of it is held now, over the most. */
  function hold(values, most) {
    [...tokens.children].forEach((cell, t) => {
      const bar = cell.querySelector("i"), share = bound((values?.[t] ?? 0) / most, 0, 1);
      bar.hidden = !(share > 0.01);
      bar.style.width = `${100 * share}%`;
    });
  }

  function refresh() {
    const sentences = reader.sources[SENTENCES] && reader.name !== SENTENCES;
    error.hidden = !reader.error;
    error.textContent = reader.error;
    const offer = () => h("button", {type: "button", click: () => readSentences()}, `Read it with ${modelLabel(SENTENCES)}`);
    if (reader.error && reader.foreign && sentences) error.append(" ", offer());
    hint.hidden = Boolean(reader.error) || !sentences || reader.task !== "recall" || !WORD.test(reader.text);
    hint.replaceChildren(...(hint.hidden ? [] : ["To this model small letters are keys, capitals values. ", offer()]));
    type.setAttribute("aria-invalid", Boolean(reader.error));
    if (!reader.run) return;
    type.readOnly = Boolean(reader.run.model.trace); // a trace has its text
    if (type.readOnly) type.value = reader.run.characters.join("");
    scrub.max = reader.run.tokens.length - 1;
    const same = tokens.dataset.text === reader.run.characters.join("");
    if (!same) tokens.replaceChildren(...reader.run.characters.map(cell));
    tokens.dataset.text = reader.run.characters.join("");
    [...tokens.children].forEach(answer);
    if (examples.dataset.task !== reader.task) {
      examples.dataset.task = reader.task;
      const known = EXAMPLES[reader.task] ?? [], button = (name, click) => h("button", {type: "button", click}, name);
      examples.replaceChildren(known.length ? "Try " : "",
        ...known.map(([name, text]) => button(name, () => { type.value = text; again({text}); })));
      const [name, text] = EXAMPLES.text[0];
      if (sentences && known.length) examples.append(button(name, () => readSentences(text)));
    }
    place();
  }

  refresh();
  const first = h("div", {class: "bar"}, ...(several ? [models.element] : []), h("label", {style: "flex:1 1 16rem"}, "Text", type));
  const second = h("div", {class: "bar"}, play, examples);
  return {elements: [first, second, error, hint, tokens, scrub], again, move, refresh, hold, tokens, stop, type, models};
}
