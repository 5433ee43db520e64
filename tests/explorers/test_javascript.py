"""The front end computes what the package computes: the same cases through Node and through torch."""

import base64
import json
import subprocess

import pytest
import torch
from explored import ALPHABET, CASES, TEXT, case, in_node, made, needs_node

from hmlcore.explorers.energy import energies
from hmlcore.explorers.module import script
from hmlcore.explorers.readback import read_back, shares
from hmlcore.explorers.stability import eigenvalues, gain_by_lag
from hmlcore.explorers.steps import trace_model
from hmlcore.layers import recording
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.studies.explorers import ALPHABETS


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
        close(answer["holding"][t], maps.held[0, t, : t + 1].mean(-1))
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
def test_a_model_of_bytes_reads_any_sentence_as_utf_8(tmp_path):
    text, alphabet = "Zoë sat, 5 €\n", ALPHABETS["text"]
    torch.manual_seed(2)
    model = Backbone(BackboneConfig(256, "hml", d_model=16, layers=1, d_ff=8, mixer_args={"num_heads": 2}))
    model = model.double()
    read = case(model, tmp_path, text=text, alphabet=alphabet)
    found, empty, long = in_node([read, read | {"text": ""}, read | {"text": "é" * 49}], tmp_path)
    logits = model(torch.tensor([list(text.encode())]))[0][0].detach()
    assert "value" in found, found
    answer = found["value"]
    close(answer["logits"], logits)
    assert "".join(answer["characters"]) == "Zoë· sat, 5 €··\n"
    said = [spelled_byte(int(i)) for i in logits.softmax(-1).argmax(-1)]
    assert [first["character"] for first, _ in answer["guesses"]] == said
    assert all(first["probability"] >= second["probability"] for first, second in answer["guesses"])
    assert "Type something" in empty["error"] and "has 98 bytes; at most 96" in long["error"]


def spelled_byte(byte):
    return chr(byte) if byte == 10 or 32 <= byte < 127 else f"{byte:02X}"


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
        "no safetensors file, or it was cut short": good | {"weights": base64.b85encode(b"PK" * 90).decode()},
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
