// What the explorers' module makes of superposed pairs that Python wrote down.
// node node_superposition.mjs MODULE CASE.json

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , module, file] = process.argv;
const e = await import(pathToFileURL(module));
const {phases, values, laws, measured} = JSON.parse(readFileSync(file, "utf8"));
const sum = new Float64Array(values[0].length);
phases.forEach((own, i) => e.boundBy(own, values[i]).forEach((x, c) => { sum[c] += x; }));
const found = phases.map((own) => e.boundBy(own, sum, -1));
process.stdout.write(JSON.stringify({
  sum: [...sum],
  found: found.map((x) => [...x]),
  likenesses: found.map((x) => e.likenesses(values, x)),
  answers: found.map((x) => e.largest(e.likenesses(values, x))),
  laws: laws.map(([channels, pairs, known]) => e.recallLaw(channels, pairs, known)),
  measured: measured.map(([channels, pairs, known, reads]) => {
    const random = e.randomBy(7);
    return e.measuredRecall(e.randomSigns(known, channels, random), pairs, reads, random);
  }),
}));
