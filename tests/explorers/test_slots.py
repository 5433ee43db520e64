"""The explorer of slots computes what the package computes: a text through Node and through its memory."""

import json
import subprocess

import pytest
import torch
import torch.nn.functional as F
from explored import needs_node

from hmlcore.explorers.module import es_module
from hmlcore.models import SparseConfig
from hmlcore.models.sparse.memory import Cues, Seen, SlotMemory
from hmlcore.ops.hashing import mixed, uniform_of
from hmlcore.ops.sparse_write import Slots, empty_slots

TEXT = "the cat sat on the mat, the dog sat on the cat and a Quail sat on 7 eggs. the cat sat"
SIZES = {"buckets": 4, "ways": 2, "chunk": 8}
WRITERS = (
    ("surprisal", "value"), ("redundancy", "oldest"), ("frequency", "random"), ("rare", "value"),
    ("random", "random"), ("every", "oldest"),
)  # fmt: skip
CASES = [{"gate": gate, "evict": evict, "density": 0.3, **SIZES} for gate, evict in WRITERS]
FATE = ("surprise", "score", "theta", "open", "place", "evicted", "stands")
SLOT = ("time", "id", "priority", "novelty", "hits")
SCRIPT = """
import { readFileSync } from "node:fs";
const e = await import(process.argv[2]);
const {text, cases, fate, slot} = JSON.parse(readFileSync(process.argv[3], "utf8"));
const ids = [...text].map((c) => e.SLOT_ALPHABET.indexOf(c));
const of = (names) => (x) => Object.fromEntries(names.map((name) => [name, x[name]]));
const found = cases.map((settings) => {
  const {tokens, states} = e.fillSlots(ids, settings);
  return {tokens: tokens.map(of(fate)), slots: states.at(-1).flat().map(of(slot))};
});
const hash = e.mixedBits(3, 4294967295, 7);
process.stdout.write(JSON.stringify({ids, size: e.SLOT_ALPHABET.length, hash, found}));
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("node")
    (folder / "explorers.mjs").write_text(es_module(), "utf-8")
    (folder / "run.mjs").write_text(SCRIPT, "utf-8")
    asked = {"text": TEXT, "cases": CASES, "fate": FATE, "slot": SLOT}
    (folder / "asked.json").write_text(json.dumps(asked))
    command = ["node", *(str(folder / name) for name in ("run.mjs", "explorers.mjs", "asked.json"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def surprises(ids, size):
    """By counts of pairs, as the page says."""
    seen: dict = {}
    found = []
    for cue, token in zip([-1, *ids[:-1]], ids, strict=True):
        after = seen.setdefault(cue, [])
        found.append(-torch.tensor((after.count(token) + 1 / size) / (len(after) + 1)).double().log())
        after.append(token)
    return torch.stack(found)


@torch.no_grad()
def remembered(ids, size, settings):
    """The package's own memory on the same tokens, keys and surprises."""
    gate = settings["gate"]
    config = SparseConfig(
        size, mixer_args={"window": 8}, slot_dim=8, top=1, gate=gate, evict=settings["evict"],
        density=None if gate == "every" else settings["density"], **SIZES,
    )  # fmt: skip
    memory = SlotMemory(config).double().eval()
    tokens, alone = torch.tensor([ids]), surprises(ids, size)[None]
    before = F.pad(tokens[:, :-1], (1, 0))
    axes = torch.arange(8)
    keys = F.normalize(uniform_of(1, before[..., None], axes).double() - 0.5, dim=-1)
    slots = empty_slots(1, 4, 2, 8, 8, dtype=torch.float64)
    state = config.build().double().init_state(1)[-1]
    stats, control, parts = state.stats, state.control, []
    for start in range(0, len(ids) - 7, 8):
        here = slice(start, start + 8)
        theta = control.theta.clone() if control.begun else None
        zero = torch.zeros(1, 8, 8, dtype=torch.float64)
        seen = Seen(
            torch.zeros(1, 8, config.d_model, dtype=torch.float64), keys[:, here], before[:, here, None], zero
        )
        cues = Cues(keys[:, here], mixed(before[:, here])[..., None] % 4, zero, before[:, here])
        position = torch.arange(start, start + 8)[None]
        written = memory.write(
            seen, cues, tokens[:, here], position, (alone[:, here], alone[:, here]), slots, stats, control
        )
        slots, stats, control = written.slots, written.stats, written.control
        parts.append((written, theta))
    return slots, parts


@needs_node
def test_hash_and_surprise(node):
    assert node["hash"] == int(mixed(torch.tensor(3), 4294967295, 7))
    found = [token["surprise"] for token in node["found"][0]["tokens"]]
    torch.testing.assert_close(
        torch.tensor(found).double(), surprises(node["ids"], node["size"]).double(), rtol=1e-5, atol=1e-6
    )


@needs_node
@pytest.mark.parametrize("number", range(len(CASES)), ids=[case["gate"] for case in CASES])
def test_the_page_writes_what_the_package_writes(node, number):
    slots, parts = remembered(node["ids"], node["size"], CASES[number])
    found = node["found"][number]
    for chunk, (written, theta) in enumerate(parts):
        tokens = found["tokens"][8 * chunk : 8 * chunk + 8]
        for field, theirs in {"open": written.open, **written.fate._asdict()}.items():
            assert [token[field] for token in tokens] == theirs[0].tolist(), (chunk, field)
        scores = torch.tensor([token["score"] for token in tokens], dtype=torch.float64)
        torch.testing.assert_close(scores, written.score[0].double(), rtol=1e-5, atol=1e-5)
        if theta is not None:
            assert tokens[0]["theta"] == pytest.approx(float(theta), abs=1e-5)
    for name in ("time", "hits"):
        assert [slot[name] for slot in found["slots"]] == getattr(slots, name).flatten().tolist()
    for name in ("priority", "novelty"):
        ours = torch.tensor([slot[name] for slot in found["slots"]], dtype=torch.float64)
        torch.testing.assert_close(ours, getattr(slots, name).flatten().double(), rtol=1e-4, atol=1e-5)
    assert isinstance(slots, Slots) and sum(slot["time"] >= 0 for slot in found["slots"]) >= 6
