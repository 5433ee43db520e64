"""Small models of every kind that the front end runs, and the way to ask Node what it makes of them."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hmlcore.explorers.module import es_module
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.models.saved import save_model

ALPHABET = "abcdefgh"
TEXT = "abcahgfeddcbabab"
OSCILLATOR = {"dynamics": "oscillator"}
CASES = {
    "oscillator, few": ("hml", OSCILLATOR | {"num_heads": 4, "norm": "soft", "skip": True}),
    "oscillator, token, rotors": ("hml", OSCILLATOR | {"num_heads": 2, "theta": "token", "rotors": 3}),
    "oscillator, head": ("hml", OSCILLATOR | {"num_heads": 2, "theta": "head", "norm": "none", "damping": 0.9}),
    "nothing said": ("hml", {}),
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
    weights = base64.b85encode(path.read_bytes()).decode()
    return {"name": name, "weights": weights, "alphabet": alphabet, "text": text}


def in_node(cases, folder) -> list[dict]:
    (folder / "explorers.mjs").write_text(es_module(), "utf-8")
    (folder / "cases.json").write_text(json.dumps(cases), "utf-8")
    command = ["node", str(Path(__file__).with_name("node_case.mjs"))]
    command += [str(folder / "explorers.mjs"), str(folder / "cases.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
