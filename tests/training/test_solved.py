"""A training that has learned its tasks cools down and ends, at the step and the rates that the rule says."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from easy import CPU, assert_identical, contents, make_config, mean_loss, stop_at

from hmlcore.errors import HmlcoreError
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.tasks import Batch, Task
from hmlcore.training import Paused, Progress, train
from hmlcore.training.monitor import Reporter
from hmlcore.training.optim import build_optimizer, learning_rate, set_rate
from hmlcore.training.trackers import line

SYMBOLS = 4


@dataclass(frozen=True)
class Said(Task):
    """Say the token just read, plus `shift`; or where `luck`, one that nobody can know."""

    name: ClassVar[str] = "said"

    shift: int = 0
    luck: bool = False

    @property
    def vocab_size(self) -> int:
        return SYMBOLS + 2

    @property
    def length(self) -> int:
        return 8

    def batch(self, split, index, batch_size, seed) -> Batch:
        made = torch.Generator().manual_seed(1000 * seed + index)
        inputs, guess = torch.randint(SYMBOLS, (2, batch_size, self.length), generator=made)
        inputs[:, 0] = SYMBOLS + self.shift  # which of the tasks this is
        return Batch(inputs, guess if self.luck else (inputs + self.shift) % SYMBOLS)

    def conditions(self) -> dict[str, Any]:
        return {}


EASY, MIX = [Said()], [Said(), Said(shift=1)]
LEVEL, COOL = 0.97, 7


def model():
    torch.manual_seed(0)
    return Backbone(BackboneConfig(SYMBOLS + 2, "gru", 16, 1, 24, {}))


def config(**changes):
    own = {"steps": 120, "lr": 0.02, "batch_size": 8, "record_every": 6, "solved_at": LEVEL, "cool_down": COOL}
    return make_config(**own | changes)


def fit(trained=None, tasks=MIX, settings=None, **options):
    return train(trained or model(), tasks, settings or config(), device=CPU, **options)


def by_step(tasks, settings):
    """Accuracy at every step of a training that ends nowhere early."""
    whole = {"solved_at": None, "cool_down": None, "record_every": 1}
    return [accuracy for _, _, accuracy in fit(tasks=tasks, settings=config(**settings | whole)).curve]


def expected(accuracies, tasks, every=6, level=LEVEL):
    """The rule by hand: the first point that is the second in a row with every task at the level."""
    before = False
    for start in range(0, len(accuracies) - every + 1, every):
        steps = range(start, start + every)
        own = [[accuracies[i] for i in steps if i % tasks == task] for task in range(tasks)]
        reached = all(sum(x) / len(x) >= level for x in own)
        if reached and before:
            return start + every
        before = reached
    return None


@pytest.fixture(scope="module")
def learned():
    """(step, end) of the training that these tests make again and again; in its middle, to leave room."""
    solved = expected(by_step(MIX, {}), 2)
    assert 18 <= solved <= 100
    return solved, solved + COOL


@pytest.mark.parametrize(("tasks", "every"), [(EASY, 6), (MIX, 6), (MIX, 5), (MIX, 4)])
def test_it_ends_at_the_step_that_the_rule_says(tasks, every):
    found = fit(tasks=tasks, settings=config(record_every=every))
    wanted = expected(by_step(tasks, {}), len(tasks), every)
    assert found.solved == wanted and found.step == wanted + COOL < 120
    assert found.curve[-1][0] == found.step and found.pending == []
    assert found.tokens == 8 * 8 * found.step


def test_a_point_of_luck_is_not_enough():
    progress, settings = Progress(), config(steps=40, record_every=2, solved_at=0.9)
    for accuracy in (1.0, 0.8, 1.0, 0.5, 0.9, 0.9, 0.0, 1.0, 1.0):
        for _ in range(2):
            progress.count(1, 0.0, accuracy, settings)
    assert progress.solved == 12 and progress.end(settings) == 12 + COOL


def test_every_task_must_be_learned():
    """In the mean the mix is far above the level, and the easy task alone is solved."""
    easy, level = [Said(), Said(shift=1, luck=True)], {"solved_at": 0.5, "cool_down": COOL}
    accuracies = by_step(easy, {})
    assert expected(accuracies, 1, level=0.5) is not None, "a mean over the tasks would end it"
    found = fit(tasks=easy, settings=config(**level))
    assert found.solved is None and found.step == 120
    assert fit(tasks=easy[:1], settings=config(**level)).step < 120


def test_the_rate_falls_to_nothing_from_where_it_is(monkeypatch, learned):
    solved, end = learned
    rates = []
    monkeypatch.setattr(
        "hmlcore.training.loop.set_rate", lambda o, rate: (rates.append(rate), set_rate(o, rate))
    )
    fit()
    before = [learning_rate(step, 120, 0.02, 3) for step in range(solved + 1)]
    assert rates[: solved + 1] == before and len(rates) == end
    assert rates[solved:] == pytest.approx([before[-1] * (COOL - k) / COOL for k in range(COOL)])


def explicit(rates, tasks=MIX):
    """Weights after steps at `rates`, with none of the loop."""
    plain, settings = model(), config()
    parameters, optimizer = list(plain.parameters()), build_optimizer(plain, 1.0, settings.weight_decay)
    for step, rate in enumerate(rates):
        batch = tasks[step % len(tasks)].batch("train", step, settings.batch_size, settings.seed)
        set_rate(optimizer, rate)
        optimizer.zero_grad()
        mean_loss(plain, batch)[0].backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizer.step()
    return parameters


def same(trained, parameters):
    return all(torch.equal(p, q) for p, q in zip(trained.parameters(), parameters, strict=True))


def test_without_it_a_training_is_the_same_to_the_bit(learned):
    trained = model()
    fit(trained, settings=config(solved_at=None, cool_down=None, steps=40))
    assert same(trained, explicit([learning_rate(step, 40, 0.02, 3) for step in range(40)]))
    trained = model()
    fit(trained)
    rates = [learning_rate(step, 120, 0.02, 3) for step in range(learned[0])]
    last = learning_rate(learned[0], 120, 0.02, 3)
    cooled = [last * (COOL - k) / COOL for k in range(COOL)]
    assert same(trained, explicit(rates + cooled)) and not same(trained, explicit(rates + [last] * COOL))


def test_the_cool_down_is_as_long_as_the_warm_up(learned):
    solved, _ = learned
    assert fit(settings=config(cool_down=None)).step == solved + 3
    progress = Progress(solved=50)
    ends = [progress.end(config(warmup=w, cool_down=None)) for w in (0, 1, 30, 100)]
    assert ends == [51, 51, 80, 120]  # there is no more than `steps`


def test_where_steps_end_first_the_cool_down_is_shorter():
    seen = []
    settings = config(steps=30, record_every=1, solved_at=1e-9, cool_down=100)
    found = fit(tasks=EASY, settings=settings, on_point=lambda step, values: seen.append(values))
    assert (found.solved, found.step) == (2, 30)
    first = learning_rate(2, 30, 0.02, 3)
    assert [v["lr"] for v in seen[2:]] == pytest.approx([first * (28 - k) / 28 for k in range(28)])
    assert [v.get("solved") for v in seen] == [None, *[2] * 29]


def test_only_whole_points_are_judged():
    """Of one step more, nothing is learned about the other task."""
    assert fit(settings=config(steps=9, record_every=4, solved_at=1e-9)).solved == 8
    assert fit(settings=config(steps=7, record_every=4, solved_at=1e-9)).solved is None


def finished(file, stops, end):
    """What the last checkpoint holds of a training that went through interruptions."""
    for stop in (*stops, end):
        with pytest.raises(KeyboardInterrupt):
            fit(checkpoint=file, run="r", after_step=stop_at(stop))
        torch.manual_seed(999)  # a resumed process has another random state
    return contents(file)


def test_interrupted_anywhere_it_ends_bit_identical(tmp_path, learned):
    """Between the two points, where it is solved, and anywhere in the cool-down."""
    solved, end = learned
    wanted = finished(tmp_path / "whole", (), end)
    assert wanted[1]["solved"] == solved and wanted[1]["step"] == end
    stops = [(solved - 1,), (solved,), (solved + 1,), (solved - 4, solved + 2, end - 1)]
    for number, at in enumerate(stops):
        assert_identical(finished(tmp_path / str(number), at, end), wanted)
    assert fit(checkpoint=tmp_path / "whole", run="r").step == end, "what is done is not gone on with"


def test_a_pause_in_the_cool_down_says_where_it_ends(tmp_path, learned):
    solved, end = learned
    with pytest.raises(KeyboardInterrupt):
        fit(checkpoint=tmp_path / "c", after_step=stop_at(solved + 1))
    with pytest.raises(Paused, match=f"paused at step {solved + 2} of {end}"):
        fit(checkpoint=tmp_path / "c", deadline=0.0)


class Bar:
    """Notes what a progress bar is told."""

    def __init__(self, _iterable, _label, total, **_options):
        self.total, self.told = total, []
        self.set_postfix_str, self.update, self.close = self.told.append, lambda: None, lambda: None


def test_people_are_told(monkeypatch):
    monkeypatch.setattr("hmlcore.training.monitor.tqdm", Bar)
    progress, settings = Progress(), config(record_every=2, solved_at=0.9)
    reporter = Reporter(progress, settings, CPU)
    assert reporter._bar.total == 120
    for _ in range(4):
        progress.count(1, 0.5, 1.0, settings)
        reporter.step(0.1)
    first, second = reporter._bar.told
    assert second.endswith(" tokens/s, solved at step 4, cooling down") and "solved" not in first
    resumed = Reporter(progress, settings, CPU)
    assert reporter._bar.total == resumed._bar.total == 4 + COOL
    said = line("a run", 1300, {"loss": 0.1, "solved": 1250})
    assert said == "a run  step 1300  loss 0.1000  solved at step 1,250, cooling down"


@pytest.mark.parametrize(
    ("curve", "wanted"),
    [
        ([0.5, 0.9, 0.9, 0.2], 20), ([0.95, 0.5, 0.9, 1.0], 30), ([0.1, 0.2, 0.95], math.inf), ([], math.inf),
        ([1.0], math.inf), ([1.0, 1.0], 10), ([0.9, 0.89, 0.9, 0.89], math.inf),
    ],
)  # fmt: skip
def test_steps_to_an_accuracy(curve, wanted):
    progress = Progress(curve=[(10 * n, 0.0, accuracy) for n, accuracy in enumerate(curve, 1)])
    assert progress.steps_to(0.9) == wanted and isinstance(progress.steps_to(0.9), float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solved_at": 0}, "solved_at must be above 0 and at most 1, got 0"),
        ({"solved_at": 1.5}, "solved_at must be above 0 and at most 1, got 1.5"),
        ({"cool_down": 0}, "cool_down must be at least 1, got 0"),
        ({"solved_at": None}, "cool_down = 7 needs solved_at, the accuracy after which it begins"),
        ({"record_every": 1}, r"solved_at = 0.97 needs every task .* record_every = 1 is fewer .* the 2 tasks"),
    ],
)
def test_what_cannot_be_judged_is_refused(change, message):
    with pytest.raises(HmlcoreError, match=message):
        fit(settings=config(**change), after_step=lambda step: pytest.fail("it was trained first"))
