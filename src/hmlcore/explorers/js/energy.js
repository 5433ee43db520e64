// The energy of a head in the potential of its current token, and where it goes:
//
//     E_t = ½‖P‖² + ½ β_t ‖k_tᵀQ − v_tᵀ‖²      E_t = E_{t−1} + work + forgetting + step
//
// `work` is what the switch from the last token's potential to this one's adds, `forgetting` what α takes or
// gives, `step` what one step of the dynamics changes: below zero it is dissipation.

import { dot } from "./arrays.js";
import { address } from "./recurrence.js";

const kinetic = (state) => (state.length === 2 ? 0.5 * dot(state[1], state[1]) : 0);

function potential(token, state) {
  const miss = address(token.k, state[0], token.v.length).map((value, d) => value - token.v[d]);
  return 0.5 * token.beta * dot(miss, miss);
}

/** Of one head: {energy, work, forgetting, step, potential, kinetic}, a number each a token. */
export function energies({tokens, states}) {
  const out = {energy: [], work: [], forgetting: [], step: [], potential: [], kinetic: []};
  let before = states[0].map((row) => row.map(() => 0)), last = 0;
  tokens.forEach((token, t) => {
    const faded = before.map((row) => row.map((value) => token.alpha * value));
    const switched = potential(token, before) + kinetic(before);
    const forgot = potential(token, faded) + kinetic(faded);
    const now = {potential: potential(token, states[t]), kinetic: kinetic(states[t])};
    out.energy.push(now.potential + now.kinetic);
    out.work.push(switched - last);
    out.forgetting.push(forgot - switched);
    out.step.push(out.energy[t] - forgot);
    out.potential.push(now.potential);
    out.kinetic.push(now.kinetic);
    last = out.energy[t];
    before = states[t];
  });
  return out;
}
