"""The front end computes what the package computes: the same cases through Node and through torch."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hmlcore.explorers.energy import energies
from hmlcore.explorers.module import es_module, script
from hmlcore.explorers.readback import read_back, shares
from hmlcore.explorers.stability import eigenvalues, gain_by_lag
from hmlcore.explorers.steps import trace_model
from hmlcore.layers import recording
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.models.saved import save_model

ALPHABET = "abcdefgh"
TEXT = "abcahgfeddcbabab"
CASES = {
    "oscillator, few": ("hml", {"num_heads": 4, "norm": "soft", "skip": True}),
    "oscillator, token, rotors": ("hml", {"num_heads": 2, "theta": "token", "rotors": 3}),
    "oscillator, head": ("hml", {"num_heads": 2, "theta": "head", "norm": "none", "damping": 0.9}),
    "delta": ("hml", {"num_heads": 2, "dynamics": "delta", "head_dim": 5}),
    "leapfrog": ("hml", {"num_heads": 2, "dynamics": "leapfrog"}),
    "euler": ("hml", {"num_heads": 2, "dynamics": "euler", "damping": 1.0}),
    "gated DeltaNet": ("gated_deltanet", {"num_heads": 2, "negative_eigenvalues": True, "gate_init": "slow"}),
    "attention": ("attention", {"num_heads": 2}),
    "GRU": ("gru", {"hidden": 9}),
}
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")


def made(name) -> Backbone:
    mixer, given = CASES[name]
    config = BackboneConfig(len(ALPHABET), mixer, d_model=16, layers=2, d_ff=12, mixer_args=given)
    torch.manual_seed(5)
    model = Backbone(replace(config, embedding_std=1.0)).double()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if not key.endswith(("log_a", "log_h", "conv")):
                p.add_(0.2 * torch.randn_like(p))
    if given.get("rotors"):
        model.blocks[1].mixer.snap([0, 7, 12])
    return model


def case(model, folder, name="a model", text=TEXT, alphabet=ALPHABET) -> dict:
    path = folder / "model.safetensors"
    save_model(path, model)
    weights = base64.b64encode(path.read_bytes()).decode()
    return {"name": name, "weights": weights, "alphabet": alphabet, "text": text}


def in_node(cases, folder) -> list[dict]:
    (folder / "explorers.mjs").write_text(es_module(), "utf-8")
    (folder / "cases.json").write_text(json.dumps(cases), "utf-8")
    command = ["node", str(Path(__file__).with_name("node_case.mjs"))]
    command += [str(folder / "explorers.mjs"), str(folder / "cases.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Name of a case → what Node made of it: all in one process."""
    folder = tmp_path_factory.mktemp("node")
    answers = in_node([case(made(name), folder, name) for name in CASES], folder)
    return dict(zip(CASES, answers, strict=True))


def close(found, expected):
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), expected, rtol=1e-8, atol=1e-9)


@needs_node
@pytest.mark.parametrize("name", CASES)
def test_what_the_page_computes_is_what_torch_computes(name, found):
    """To 1e-8 in double precision; the page's models are in single precision, which gives 1e-5 at least."""
    model, answer = made(name), found[name].get("value")
    assert answer, found[name]
    tokens = torch.tensor([[ALPHABET.index(c) for c in TEXT]])
    with recording(model) as traces, torch.no_grad():
        logits, _ = model(tokens)
    close(answer["logits"], logits[0])
    if CASES[name][1].get("rotors"):
        turns = traces["blocks.1.mixer"]["phase"][0] / (2 * torch.pi)
        gap = torch.tensor(answer["phases"], dtype=torch.float64) - turns
        assert (gap - gap.round()).abs().max() < 1e-9
    if CASES[name][0] in ("attention", "gru"):
        assert answer["reads"] == []
        return
    steps = trace_model(model, tokens)[-1]
    maps, past = read_back(steps), range(len(TEXT))
    close(answer["reads"], steps.output[0].movedim(1, 0))
    for h, (weights, held) in enumerate(zip(answer["weights"], answer["held"], strict=True)):
        for t in past:
            pairs = torch.view_as_real(maps.weights[0, t, : t + 1, h].contiguous())
            close(weights[t], pairs)
            close(held[t], maps.held[0, t, : t + 1, h])
    for t in past:
        close(answer["shares"][t], shares(steps, maps)[0, t, : t + 1])
    for field, values in energies(steps)._asdict().items():
        close([head[field] for head in answer["energies"]], values[0].T)
    close(answer["gains"], gain_by_lag(steps)[0].T)
    for which, values in zip(("across", "along"), eigenvalues(steps), strict=True):
        for h, head in enumerate(answer["eigenvalues"]):
            theirs = torch.tensor([[complex(z["re"], z["im"]) for z in token[which]] for token in head])
            gaps = (theirs[:, :, None] - values[0, :, h][:, None]).abs()
            assert gaps.amin(1).max() < 1e-6 and gaps.amin(2).max() < 1e-6


@needs_node
def test_bad_input_is_refused_in_words(tmp_path):
    model = made("delta")
    good = case(model, tmp_path)
    with torch.no_grad():
        model.blocks[0].mixer.log_a[0] = float("nan")
    sick = case(model, tmp_path)
    other = Backbone(BackboneConfig(len(ALPHABET), "retnet", d_model=16, mixer_args={"num_heads": 2}))
    asked = {
        "Type something": good | {"text": ""},
        "has 97 characters; at most 96": good | {"text": "a" * 97},
        "has not learned “é”, “5”; it reads abcdefgh.": good | {"text": "aé5é"},
        "blocks.0.mixer.log_a holds NaN": sick,
        'cannot run the mixer "retnet"; it knows hml': case(other, tmp_path),
        "alphabet has 3 characters, the model 8": good | {"alphabet": "abc"},
        "no safetensors file, or it was cut short": good | {"weights": base64.b64encode(b"PK" * 90).decode()},
        "too short to be a safetensors file": good | {"weights": ""},
    }
    answers = in_node(list(asked.values()), tmp_path)
    missed = [(words, a) for words, a in zip(asked, answers, strict=True) if words not in a.get("error", "")]
    assert missed == []


@needs_node
def test_the_script_of_a_page_has_what_the_module_has(tmp_path):
    """Parsed as a script, not as a module: it says what it exports, and nothing else is left behind."""
    (tmp_path / "page.cjs").write_text(
        "globalThis.document = {readyState: 'loading', addEventListener() {}};\n"
        f"{script()}\nconsole.log(JSON.stringify(Object.keys(hmlExplorers)));\n",
        "utf-8",
    )
    done = subprocess.run(["node", str(tmp_path / "page.cjs")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {"render", "start", "openModel", "runModel", "readBack"} <= set(json.loads(done.stdout))
