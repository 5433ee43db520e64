// What the explorers are made of, and how a notebook and a page open them.
import { fromBase64 } from "./safetensors.js";
import { openModel, runModel, tokenize } from "./model.js";
import { readBack, shares } from "./readback.js";
import { energies } from "./energy.js";
import { eigenvalues, gainByLag } from "./stability.js";

export function render() {}
export function start() {}
