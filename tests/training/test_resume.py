"""A training stopped anywhere and resumed ends bit-identical to one that never stopped."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from easy import MIXERS, assert_identical, contents, fit, make_config, make_model, stop_at

HERE = Path(__file__).parent


def finished(file, mixer="hml", stops=(), config=None):
    """Train from scratch through interruptions; the last checkpoint holds weights, optimiser and curve."""
    config = config or make_config()
    for stop in (*stops, config.steps):
        with pytest.raises(KeyboardInterrupt):
            fit(make_model(mixer), config, checkpoint=file, run="r", after_step=stop_at(stop))
        torch.manual_seed(999)  # a resumed process has another random state
    return contents(file)


@pytest.mark.parametrize("mixer", MIXERS)
def test_interrupted_anywhere_it_ends_bit_identical(mixer, tmp_path):
    wanted = finished(tmp_path / "whole", mixer)
    assert wanted[1]["step"] == 12 and len(wanted[1]["curve"]) == 3
    for stops in ((1,), (7,), (2, 5, 11)):
        assert_identical(finished(tmp_path / f"stopped{stops}", mixer, stops), wanted)


def test_a_run_that_is_resumed_returns_the_whole_curve(tmp_path):
    whole = fit(make_model())
    with pytest.raises(KeyboardInterrupt):
        fit(make_model(), checkpoint=tmp_path / "c", after_step=stop_at(7))
    resumed = fit(make_model(), checkpoint=tmp_path / "c")
    assert (resumed.curve, resumed.tokens) == (whole.curve, whole.tokens)
    assert resumed.seconds > 0


def test_an_interrupt_in_the_middle_of_an_update_waits_for_its_end(tmp_path, monkeypatch):
    """Weights moved and the step not counted: saved so, the step would be taken twice."""
    wanted = finished(tmp_path / "whole")
    step = torch.optim.AdamW.step
    calls = []

    def interrupted(self, *args, **kwargs):
        step(self, *args, **kwargs)
        calls.append(1)
        if len(calls) == 6:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(make_model(), checkpoint=tmp_path / "c", run="r")
    assert contents(tmp_path / "c")[1]["step"] == 6
    assert_identical(finished(tmp_path / "c"), wanted)


KILLED = """
import sys, time, torch
from pathlib import Path
torch.set_num_threads(1)
from easy import MIXERS, fit, make_config, make_model

def report(step):
    print(step, flush=True)
    time.sleep(0.02)

fit(make_model(), make_config(steps=60), checkpoint=Path(sys.argv[1]), run="r", checkpoint_seconds=0,
    after_step=report)
"""


def test_a_killed_process_is_resumed_bit_identically(tmp_path):
    """SIGKILL at no particular moment, most likely while a checkpoint is being written."""
    file, config = tmp_path / "killed", make_config(steps=60)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(file)], cwd=HERE, stdout=subprocess.PIPE
    ) as process:
        for line in process.stdout:
            if int(line) >= 10:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    done = contents(file)[1]["step"]
    assert 9 <= done < 60
    assert_identical(finished(file, config=config), finished(tmp_path / "whole", config=config))
