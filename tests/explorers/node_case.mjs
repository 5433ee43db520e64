// Runs cases that Python wrote through the explorers' module, and prints what comes out.
// node node_case.mjs MODULE CASES.json

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , module, cases] = process.argv;
const e = await import(pathToFileURL(module));

function followed({name, weights, alphabet, text}) {
  const model = e.openModel(e.fromBase85(weights), alphabet, name);
  const run = e.runModel(model, e.tokenize(model, text));
  const block = run.blocks.at(-1), linear = block.heads[0]?.tokens;
  const heads = linear ? block.heads : [], maps = heads.map((head) => e.readBack(head.tokens));
  const list = (x) => [...x].map((y) => (typeof y === "number" ? y : list(y)));
  return {
    logits: list(run.logits),
    characters: e.spelled(model, text),
    guesses: run.logits.map((_, t) => e.guesses(model, run, t, 2)),
    phases: block.phases ? list(block.phases) : null,
    reads: heads.map((head) => list(head.reads)),
    weights: maps.map(({weights: rows}) => rows.map((row) => row.map((w) => [w.re, w.im]))),
    held: maps.map(({held}) => held),
    holding: heads.length ? e.heldOver(heads) : null,
    shares: linear ? run.logits.map((_, t) => list(e.shares(heads, maps, t))) : null,
    energies: heads.map((head) => e.energies(head)),
    gains: heads.map((head) => e.gainByLag(head.tokens)),
    eigenvalues: heads.map((head) => head.tokens.map(e.eigenvalues)),
  };
}

function tried(action) {
  try {
    return {value: action()};
  } catch (error) {
    return {error: error.message};
  }
}

const found = JSON.parse(readFileSync(cases, "utf8")).map((c) => tried(() => followed(c)));
process.stdout.write(JSON.stringify(found));
