"""The binding explorer and the op, and the law: the same pairs through Node and through torch."""

import json
import math
import subprocess
from pathlib import Path

import pytest
import torch
from explored import needs_node

from hmlcore.explorers.module import es_module
from hmlcore.ops.holographic import bind, keys_of_phases, unbind
from hmlcore.studies.kit.superposition import accuracy

LAWS = [(256, 8, 64), (256, 96, 64), (64, 40, 256), (1024, 1, 16), (64, 96, 2)]
MEASURED = [(256, 24, 64, 4000), (64, 32, 16, 4000)]


@pytest.fixture(scope="module")
def pairs():
    """Phases [N, D/2] and values of signs [N, D]."""
    g = torch.Generator().manual_seed(3)
    phases = 2 * math.pi * torch.rand(9, 16, generator=g, dtype=torch.float64)
    return phases, torch.where(torch.randn(9, 32, generator=g) < 0, -1.0, 1.0).double()


@pytest.fixture(scope="module")
def found(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("node")
    (folder / "explorers.mjs").write_text(es_module(), "utf-8")
    asked = dict(zip(("phases", "values"), (x.tolist() for x in pairs), strict=True))
    (folder / "case.json").write_text(json.dumps(asked | {"laws": LAWS, "measured": MEASURED}), "utf-8")
    script = Path(__file__).with_name("node_superposition.mjs")
    command = ["node", str(script), str(folder / "explorers.mjs"), str(folder / "case.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
def test_what_is_bound_added_and_found_is_what_the_op_does(pairs, found):
    phases, values = pairs
    keys = keys_of_phases("unitary", phases)
    memory = bind("unitary", keys, values).sum(0)
    read = unbind("unitary", keys, memory)
    for name, wanted in {"sum": memory, "found": read, "likenesses": read @ values.T / 32}.items():
        torch.testing.assert_close(torch.tensor(found[name], dtype=torch.float64), wanted, rtol=0, atol=1e-12)
    assert found["answers"] == (read @ values.T).argmax(-1).tolist()


@needs_node
def test_the_law_of_the_page_is_the_law_of_the_package(found):
    assert found["laws"] == pytest.approx([accuracy(*law) for law in LAWS], abs=1e-9)


@needs_node
def test_what_the_page_measures_is_near_the_law(found):
    """Within four standard errors, and the part in N by which the law is low."""
    for share, (channels, count, known, reads) in zip(found["measured"], MEASURED, strict=True):
        law = accuracy(channels, count, known)
        assert abs(share - law) < 4 * math.sqrt(law * (1 - law) / reads) + 1 / count
