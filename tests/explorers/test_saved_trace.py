"""A saved trace says of a layer what the model itself says, in Python and in the front end."""

import base64
import json
import subprocess

import pytest
import torch
from explored import ALPHABET, CASES, TEXT, case, in_node, made, needs_node

from hmlcore.errors import HmlcoreError
from hmlcore.explorers.models import LARGEST
from hmlcore.explorers.module import es_module
from hmlcore.explorers.saved_trace import save_trace
from hmlcore.explorers.widgets import MemoryExplorer
from hmlcore.models import Backbone, BackboneConfig

LINEAR = [name for name in CASES if name not in ("attention", "GRU")]
TOKENS = torch.tensor([ALPHABET.index(c) for c in TEXT])
READ = """
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
const e = await import(pathToFileURL(process.argv[2]));
const {trace} = e.openTrace(e.fromBase85(readFileSync(process.argv[3], "utf8"))), [block] = trace.blocks;
const list = (x) => [...x].map((y) => (typeof y === "number" ? y : list(y)));
const maps = block.heads.map((head) => e.readBack(head.tokens));
process.stdout.write(JSON.stringify({
  characters: trace.characters, guesses: trace.guesses, phases: block.phases ? list(block.phases) : null,
  reads: block.heads.map((head) => list(head.reads)), held: maps.map(({held}) => held),
  shares: trace.characters.map((_, t) => list(e.shares(block.heads, maps, t))),
  energies: block.heads.map((head) => e.energies(head)),
  gains: block.heads.map((head) => e.gainByLag(head.tokens)),
  eigenvalues: block.heads.map((head) => head.tokens.map(e.eigenvalues)),
}));
"""


def opened(path, folder):
    (folder / "explorers.mjs").write_text(es_module(), "utf-8")
    (folder / "read.mjs").write_text(READ, "utf-8")
    (folder / "trace.txt").write_text(base64.b85encode(path.read_bytes()).decode())
    command = ["node", folder / "read.mjs", folder / "explorers.mjs", folder / "trace.txt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_close(found, wanted, path=""):
    """Equal within single precision, whatever lists and names they are made of."""
    if isinstance(wanted, dict):
        for key in wanted:
            assert_close(found[key], wanted[key], f"{path}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), path
        for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
            assert_close(a, b, f"{path}[{i}]")
    elif wanted is None:
        assert found is None, path
    else:
        assert found == pytest.approx(wanted, abs=2e-5, rel=1e-4), path


@needs_node
@pytest.mark.parametrize("name", LINEAR)
def test_the_front_end_makes_of_a_trace_what_it_makes_of_the_model(tmp_path, name):
    model = made(name)
    save_trace(tmp_path / "trace.safetensors", model, TOKENS, ALPHABET.__getitem__)
    found = opened(tmp_path / "trace.safetensors", tmp_path)
    (whole,) = in_node([case(model, tmp_path)], tmp_path)
    whole = whole["value"]
    assert found["characters"] == list(TEXT)
    if "rotors" in name:  # half a turn is the same as minus half a turn
        there, here = (torch.tensor(x["phases"]) * 2 * torch.pi for x in (whole, found))
        torch.testing.assert_close(here.cos(), there.cos(), rtol=0, atol=1e-5)
        torch.testing.assert_close(here.sin(), there.sin(), rtol=0, atol=1e-5)
    for what in ("reads", "held", "shares", "energies", "gains"):
        assert_close(found[what], whole[what], what)
    best = torch.tensor(whole["logits"]).argmax(-1).tolist()
    assert [row[0]["character"] for row in found["guesses"]] == [ALPHABET[i] for i in best]


@needs_node
def test_heads_that_turn_keep_what_they_hold_and_how_long_it_is(tmp_path):
    given = {"num_heads": 2, "dynamics": "oscillator", "theta": "head", "rotation_heads": 1, "rotors": 2}
    torch.manual_seed(1)
    model = Backbone(BackboneConfig(8, "hml", d_model=16, layers=2, d_ff=12, mixer_args=given))
    with torch.no_grad():
        model.blocks[0].mixer.rotation.weight.normal_()
    save_trace(tmp_path / "t.safetensors", model, TOKENS, ALPHABET.__getitem__, block=0)
    found = opened(tmp_path / "t.safetensors", tmp_path)
    from hmlcore.explorers.readback import read_back
    from hmlcore.explorers.steps import trace_model

    steps = trace_model(model, TOKENS[None])[0]
    assert bool(steps.turned.any())
    held = read_back(steps).held[0]
    assert_close(found["held"][1], [held[t, : t + 1, 1].tolist() for t in range(len(TEXT))], "held")
    lengths = [sum(x * x for x in o) ** 0.5 for o in found["reads"][1]]
    assert_close(lengths, steps.output[0, :, 1].norm(dim=-1).tolist(), "reads")


def test_a_widget_opens_a_saved_trace_of_any_size_of_model(tmp_path):
    torch.manual_seed(0)
    model = Backbone(BackboneConfig(5000, "hml", d_model=64, layers=2, mixer_args={"num_heads": 2}))
    save_trace(tmp_path / "t.safetensors", model, torch.arange(9), lambda token: f"<{token}>", block=1)
    widget = MemoryExplorer(tmp_path / "t.safetensors")
    assert widget.problem == "" and list(widget.sources) == ["yours"]
    assert len(base64.b85decode(widget.sources["yours"]["weights"])) < LARGEST


@pytest.mark.parametrize(
    ("tokens", "block", "words"),
    [
        (torch.zeros(2, 3, dtype=torch.long), -1, "tokens must be 1 to 96 in a row, got 6"),
        (torch.zeros(0, dtype=torch.long), -1, "tokens must be 1 to 96 in a row, got 0"),
        (torch.zeros(97, dtype=torch.long), -1, "tokens must be 1 to 96 in a row, got 97"),
        (torch.arange(4), 2, "block must be at most 1, got 2"),
    ],
)
def test_what_makes_no_trace_is_refused(tmp_path, tokens, block, words):
    with pytest.raises(HmlcoreError, match=words):
        save_trace(tmp_path / "t.safetensors", made("delta"), tokens, ALPHABET.__getitem__, block)
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    model = made("delta")
    with torch.no_grad():
        model.blocks[1].mixer.in_proj.weight[0, 0] = float("inf")
    with pytest.raises(HmlcoreError, match=r"of block 1 is not finite: training must have diverged"):
        save_trace(tmp_path / "t.safetensors", model, TOKENS, ALPHABET.__getitem__)
