// Explorer 5: what the results store holds: runs to filter, their learning curves, and what made each.

import { bound, brief, chooser, drawing, escaped, frame, h, MIXER_LOOKS, number, onWidth } from "./view.js";

const SPARE = ["#9467BD", "#56B4E9", "#CC79A7", "#882255", "#44AA99", "#0072B2", "#009E73", "#E69F00"];
const MOST_ROWS = 60;

/** A colour for every group: its mixer's, or another where several groups share one. */
function coloursOf(groups) {
  const taken = new Set(), found = {};
  let next = 0;
  for (const {label, mixer} of groups) {
    const own = MIXER_LOOKS[mixer]?.color;
    found[label] = own && !taken.has(own) ? own : SPARE[next++ % SPARE.length];
    taken.add(found[label]);
  }
  return found;
}

/** Open the explorer in `element` over `options.data`, what hmlcore.explorers.store wrote. */
export function storeExplorer(element, _sources, options = {}) {
  const root = frame(element, "Store browser: the runs behind the results");
  const all = (options.data?.experiments ?? []).map((one) => ({
    ...one, runs: one.rows.map((row) => Object.fromEntries(one.columns.map((name, i) => [name, row[i]]))),
  }));
  if (!all.length) throw new Error("The results store is empty: make runs with hml run EXPERIMENT.");
  let chosen = all.find((one) => one.name === options.experiment) ?? all[0], mixer = "", task = "", opened = null;
  const places = [...new Set(all.map((one) => one.profile))];
  const pick = chooser("Experiment", all.map((one, i) => [i, `${one.study}: ${one.name}${places.length > 1 ? ` (${one.profile})` : ""}`]),
    all.indexOf(chosen), (i) => { chosen = all[Number(i)]; mixer = task = ""; opened = null; fill(); });
  const mixers = chooser("Mixer", [], "", (value) => { mixer = value; draw(); });
  const tasks = chooser("Task", [], "", (value) => { task = value; draw(); });
  const question = h("p", {class: "words"}), table = h("table", {}), details = h("div", {"aria-live": "polite"});
  const curve = drawing("Learning curves: mean over seeds, with their interval"), holder = h("div", {}, curve);
  const legend = h("div", {class: "key"}), count = h("p", {class: "key"});

  function options_(select, values, every) {
    select.replaceChildren(h("option", {value: ""}, every), ...values.map((value) => h("option", {value}, value)));
  }

  function fill() {
    options_(mixers.select, [...new Set(chosen.runs.map((run) => run.mixer))], "all");
    const known = [...new Set(chosen.runs.map((run) => run.task).filter(Boolean))];
    options_(tasks.select, known, "all");
    tasks.element.style.display = known.length > 1 ? "" : "none";
    if (known.length > 1) task = tasks.select.value = known[0];
    draw();
  }

  const fits = (one) => (!mixer || one.mixer === mixer) && (!task || one.task === task);

  function draw() {
    question.textContent = `${chosen.question} (${chosen.profile} profile, ${chosen.runs.length} runs)`;
    const runs = chosen.runs.filter(fits);
    count.textContent = runs.length > MOST_ROWS ? `The first ${MOST_ROWS} of ${runs.length} runs` : `${runs.length} runs`;
    const head = h("tr", {}, ...["run", "variant", "task", "seed", "learning rate", "steps", chosen.metric || "value"].map((name) => h("th", {scope: "col"}, name)));
    table.replaceChildren(h("thead", {}, head), h("tbody", {}, ...runs.slice(0, MOST_ROWS).map((run) => h("tr", {},
      h("td", {}, h("button", {type: "button", "aria-pressed": run === opened, click: () => { opened = run; draw(); }}, run.hash.slice(0, 8))),
      ...[run.variant || run.mixer, run.task, run.seed, run.lr, run.steps, run.value === null ? "" : brief(run.value)]
        .map((value) => h("td", {}, String(value ?? "")))))));
    open();
    drawCurves();
  }

  function open() {
    details.replaceChildren();
    if (!opened) return;
    const spec = {...chosen.common, ...(opened.spec ?? {})}, {hash, commit, device, wall_s, parameters} = opened;
    const facts = h("dl", {class: "key"}), command = `hml show ${hash.slice(0, 16)}`;
    for (const [name, value] of Object.entries({commit, device, "time (s)": number(wall_s, 1), parameters})) {
      facts.append(h("span", {}, `${name} ${value}`));
    }
    const again = `hml verify ${chosen.name} --profile ${chosen.profile} --run ${hash.slice(0, 16)}`;
    details.append(h("h3", {}, `Run ${hash.slice(0, 16)}`), facts, h("pre", {class: "scroll"}, `${command}\n${again}`));
    const title = opened.spec ? "Its spec" : "What all runs of this experiment share; the first command shows the rest";
    details.append(h("details", {}, h("summary", {}, title), h("pre", {class: "scroll"}, JSON.stringify(spec, null, 1))));
  }

  function drawCurves() {
    const groups = chosen.curves.filter(fits), colours = coloursOf(groups), parts = [];
    legend.replaceChildren();
    if (!groups.length) {
      curve.setAttribute("viewBox", "0 0 300 20");
      curve.innerHTML = `<text x="0" y="14">No learning curve here: these runs are measured, not trained.</text>`;
      return;
    }
    const width = Math.max(280, holder.clientWidth || 640), left = 44, high = 240;
    const steps = groups.flatMap((one) => one.steps), values = groups.flatMap((one) => [...one.low, ...one.high]);
    const most = Math.max(...steps), low = Math.min(...values), top = Math.max(...values);
    const x = (step) => left + ((width - left - 10) * step) / most, y = (v) => 10 + (high - 20) * ((top - bound(v, low, top)) / Math.max(1e-12, top - low));
    parts.push(`<path d="M${left} 8V${high - 8}H${width - 8}" fill="none" stroke="var(--line)"/>`);
    for (const v of [low, (low + top) / 2, top]) parts.push(`<text x="${left - 5}" y="${y(v) + 4}" text-anchor="end">${brief(v)}</text>`);
    for (const part of [0, 0.5, 1]) parts.push(`<text x="${x(part * most)}" y="${high + 8}" text-anchor="${part === 1 ? "end" : "middle"}">${Math.round(part * most)}</text>`);
    parts.push(`<text x="${width - 10}" y="${high + 24}" text-anchor="end">training steps</text><text x="${left + 6}" y="6">loss (nats)</text>`);
    for (const one of groups) {
      const color = colours[one.label], point = (v, i) => `${x(one.steps[i]).toFixed(1)} ${y(v).toFixed(1)}`;
      if (one.seeds > 4) {
        const band = [...one.high.map(point), ...one.low.map((v, i) => [v, i]).reverse().map(([v, i]) => point(v, i))];
        parts.push(`<path d="M${band.join("L")}Z" fill="${color}" fill-opacity=".15"/>`);
      }
      parts.push(`<path d="M${one.mean.map(point).join("L")}" fill="none" stroke="${color}" stroke-width="1.8"><title>${escaped(one.label)}</title></path>`);
      legend.append(h("span", {}, h("span", {style: `color:${color}`}, "● "), `${one.label}, ${one.seeds} ${one.seeds === 1 ? "seed" : "seeds"}`));
    }
    curve.setAttribute("viewBox", `0 0 ${width} ${high + 30}`);
    curve.innerHTML = parts.join("");
  }

  root.parentElement.style.setProperty("--accent", MIXER_LOOKS.hml.color);
  root.append(h("div", {class: "bar"}, pick.element, mixers.element, tasks.element), question, holder, legend, details, count, h("div", {class: "scroll"}, table));
  fill();
  return {draw, destroy: onWidth(holder, drawCurves)};
}
