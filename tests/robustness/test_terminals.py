"""What a command prints never depends on what the terminal can show."""

import io
import os
import subprocess
import sys

import pytest
import torch

from hmlcore import cli
from hmlcore.errors import HmlcoreError
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.models.saved import save_model

TEXT = "mean ÷ floor − \N{REPLACEMENT CHARACTER} \N{SNOWMAN} \ud83d caf\udce9"
ENCODINGS = ("ascii", "cp1252", "latin-1", "utf-8")


def terminal(monkeypatch, encoding):
    """From now on standard output and error are of that encoding; returns what reads what was written."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])

    def written() -> list[str]:
        for stream in streams:
            stream.flush()
        return [stream.buffer.getvalue().decode(encoding) for stream in streams]

    return written


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_verb_prints_every_character(encoding, monkeypatch):
    monkeypatch.setattr(cli, "_doctor", lambda _: print(TEXT) or 0)
    written = terminal(monkeypatch, encoding)
    assert cli.main(["doctor"]) == 0
    out, _ = written()
    assert out.startswith("mean ") and r"\ud83d caf\udce9" in out


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_refusal_does_as_well(encoding, monkeypatch):
    def refuse(_):
        raise HmlcoreError(TEXT)

    monkeypatch.setattr(cli, "_doctor", refuse)
    written = terminal(monkeypatch, encoding)
    assert cli.main(["doctor"]) == 2
    with pytest.raises(SystemExit):
        cli.main([TEXT])
    _, err = written()
    assert err.startswith("hml: mean ") and err.count("floor") >= 2


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_model_may_draw_any_byte(encoding, monkeypatch, tmp_path):
    torch.manual_seed(0)
    save_model(tmp_path / "model", Backbone(BackboneConfig(256, "gru", 8, 1, 12)))
    ask = ["generate", "--checkpoint", str(tmp_path / "model"), "--prompt", "a", "--seed", "1"]
    written = terminal(monkeypatch, encoding)
    assert cli.main(ask) == 0
    out, _ = written()
    assert "\N{REPLACEMENT CHARACTER}" in out or r"\ufffd" in out


def test_of_a_real_process(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "HMLCORE_RESULTS": str(tmp_path / "÷")}
    command = [sys.executable, "-m", "hmlcore.cli", "pack", "--profile", "smoke"]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(b"nothing to pack"), done
