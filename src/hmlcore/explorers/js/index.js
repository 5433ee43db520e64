// How a notebook and a page open an explorer.

import { bindingExplorer } from "./binding.js";
import { gradientExplorer } from "./gradient.js";
import { memoryExplorer } from "./memory.js";
import { phaseExplorer } from "./phase.js";
import { raceExplorer } from "./race.js";
import { slotsExplorer } from "./slots.js";
import { storeExplorer } from "./store.js";
import { frame, h } from "./view.js";

const EXPLORERS = {
  phase: phaseExplorer, memory: memoryExplorer, gradient: gradientExplorer, race: raceExplorer,
  binding: bindingExplorer, slots: slotsExplorer, store: storeExplorer,
};
const WITHOUT_MODELS = ["binding", "slots", "store"];

/** Open the explorer `kind` in `element`; what goes wrong is said there. */
export function open(kind, element, sources, options = {}, told = undefined) {
  try {
    if (options.problem) throw new Error(options.problem);
    if (!EXPLORERS[kind]) throw new Error(`There is no explorer "${kind}"; there are ${Object.keys(EXPLORERS).join(", ")}.`);
    if (!WITHOUT_MODELS.includes(kind) && !Object.keys(sources).length) throw new Error("No model came with this explorer.");
    return EXPLORERS[kind](element, sources, options, told);
  } catch (error) {
    frame(element, "Explorer").append(h("div", {class: "error", role: "alert"}, error.message));
    return {destroy() {}};
  }
}

/** What anywidget calls: `model` has the traits explorer, sources, text, at and chosen, and problem where it has nothing to show. */
export function render({model, el}) {
  let quiet = false;
  const options = {model: model.get("chosen"), text: model.get("text"), at: model.get("at"), data: model.get("data"),
    problem: model.get("problem")};
  const opened = open(model.get("explorer"), el, model.get("sources"), options, (state) => {
    quiet = true;
    model.set({text: state.text, at: state.at, chosen: state.model});
    model.save_changes();
    quiet = false;
  });
  const follow = () => {
    if (quiet || !opened.controls) return;
    opened.reader.at = model.get("at") ?? Infinity;
    opened.controls.type.value = model.get("text");
    opened.controls.again({text: model.get("text"), name: model.get("chosen")});
  };
  for (const name of ["text", "at", "chosen"]) model.on(`change:${name}`, follow);
  return () => {
    for (const name of ["text", "at", "chosen"]) model.off(`change:${name}`, follow);
    opened.destroy();
  };
}

/** Open every explorer that the page has a place for, over the models that it loaded. */
export function start() {
  const openAll = () => {
    for (const place of document.querySelectorAll(".hml-explorer[data-explorer]:not([data-opened])")) {
      const {explorer, models = "", text, at, data, folder} = place.dataset, all = globalThis.hmlModels ?? {};
      if (!EXPLORERS[explorer]) continue; // another script of the page has it
      const source = (name) => all[name] ?? (folder !== undefined && {later: `${folder}hml-model-${name}.js`});
      const sources = Object.fromEntries(models.split(" ").map((name) => [name, source(name)]).filter(([, found]) => found));
      const options = {text, ...(at ? {at: Number(at) - 1} : {}), ...(data ? {data: globalThis.hmlData?.[data]} : {})};
      place.dataset.opened = "true";
      place.explorer = open(explorer, place, sources, options);
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", openAll);
  else openAll();
}
