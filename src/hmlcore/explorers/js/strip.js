// The strip under the phase planes: what a token's work adds and the step dissipates.

import { brief, escaped, shown } from "./view.js";

/** A path through points. */
export const trail = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

export const STRIP_LEFT = 54; // room for a number of four digits, sign and point
export const tokenWidth = (count, width) => (width - STRIP_LEFT - 8) / count;

/** Whether the token t has room for its name: all, or the first letters of words, or some. */
function labelled(characters, t, each) {
  if (each > 9) return true;
  return characters.includes(" ") ? t === 0 || characters[t - 1] === " " : t % Math.ceil(9 / each) === 0;
}

/** The strip of energies: work up or down in full colour, what is lost hatched, what is forgotten grey. */
export function stripOf({energy, work, forgetting, step}, characters, width) {
  const top = 12, height = 130, left = STRIP_LEFT, each = tokenWidth(energy.length, width);
  const most = Math.max(1e-9, ...energy, ...work.map(Math.abs), ...step.map(Math.abs), ...forgetting.map(Math.abs));
  const zero = top + height / 2, y = (value) => zero - (value / most) * (height / 2), parts = [];
  const bar = (value, t, slot, style) => {
    const a = y(Math.max(value, 0)), b = y(Math.min(value, 0)), wide = Math.max(1, each * 0.26);
    parts.push(`<rect x="${left + each * t + each * (0.1 + 0.27 * slot)}" y="${a}" width="${wide}" height="${Math.max(0.5, b - a)}" ${style}/>`);
  };
  parts.push(`<defs><pattern id="hmlx-hatch" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V4" stroke="var(--ink)" stroke-width="1.6"/></pattern></defs>`);
  parts.push(`<rect class="here" y="${top - 6}" width="${each}" height="${height + 30}" fill="var(--faint)"/>`);
  parts.push(`<path d="M${left} ${zero}H${width - 8}" stroke="var(--line)"/>`);
  energy.forEach((_, t) => {
    bar(work[t], t, 0, `fill="var(--accent)"`);
    bar(forgetting[t], t, 1, `fill="var(--soft)"`);
    bar(step[t], t, 2, `fill="url(#hmlx-hatch)" stroke="var(--ink)" stroke-width=".6"`);
    if (labelled(characters, t, each)) {
      parts.push(`<text x="${left + each * (t + 0.5)}" y="${top + height + 18}" text-anchor="middle">${escaped(shown(characters[t]))}</text>`);
    }
  });
  const line = energy.map((value, t) => [left + each * (t + 0.5), y(value)]);
  parts.push(`<path d="${trail(line)}" fill="none" stroke="var(--blue)" stroke-width="1.6"/>`);
  for (const [value, text] of [[most, brief(most)], [0, "0"], [-most, brief(-most)]]) {
    parts.push(`<text x="${left - 6}" y="${y(value) + 4}" text-anchor="end">${text}</text>`);
  }
  return parts.join("");
}

export const STRIP_KEY = `<span><svg viewBox="0 0 20 12"><rect width="20" height="12" fill="var(--accent)"/></svg>work of the token</span>
<span><svg viewBox="0 0 20 12"><rect width="20" height="12" fill="var(--soft)"/></svg>forgetting</span>
<span><svg viewBox="0 0 20 12"><path d="M1 12L8 0M7 12L14 0M13 12L20 0" stroke="var(--ink)" stroke-width="1.6"/></svg>dissipation (the step)</span>
<span><svg viewBox="0 0 20 12"><path d="M0 6H20" stroke="var(--blue)" stroke-width="2"/></svg>energy in the current well</span>`;
