"""Trainings that one process and a group of two both make; run as a script, this is one of the group.

RANK=0 WORLD_SIZE=2 LOCAL_RANK=0 MASTER_ADDR=localhost python group_runs.py FOLDER PORT PORT PORT

FOLDER has checkpoints of one process; what each process of the group saw is left there.
"""

import io
import os
import signal
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from easy import CPU, Stories, make_config, make_model, stop_at

from hmlcore import cli
from hmlcore.errors import HmlcoreError, require
from hmlcore.models import BackboneConfig, Classifier
from hmlcore.results import Store
from hmlcore.runner import run_grid
from hmlcore.tasks import IGNORE, Batch, Task, build_task
from hmlcore.training import SINGLE_PROCESS, Paused, process_group, train

KINDS = ("ddp", "fsdp")
LEAPFROG = {"num_heads": 2, "dynamics": "leapfrog"}


@dataclass(frozen=True)
class Uneven(Task):
    """Random tokens to be repeated, of which rows score different numbers: row r of a batch r, row 0 none."""

    name: ClassVar[str] = "uneven"

    vocab: int = 6

    @property
    def vocab_size(self) -> int:
        return self.vocab

    @property
    def length(self) -> int:
        return 9

    def batch(self, split, index, batch_size, seed) -> Batch:
        made = torch.Generator().manual_seed(100 * seed + index)
        inputs = torch.randint(self.vocab, (batch_size, self.length), generator=made)
        place = torch.arange(self.length)
        # The second of two processes has rows 1, 3, ...; in every third batch only the first has anything.
        scores = torch.arange(batch_size)[:, None] * (
            2 if index % 3 else torch.arange(batch_size)[:, None] % 2 == 0
        )
        return Batch(inputs, torch.where(place < scores, inputs, IGNORE))

    def conditions(self) -> dict[str, Any]:
        return {}


LISTOPS = build_task("listops", max_length=12, max_args=3, training_examples=64, held_out=8)


def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(BackboneConfig(LISTOPS.vocab_size, "gru", 8, 2, 12), LISTOPS.classes, bidirectional=True)


# Undamped leapfrog leaves parameters without gradients; Mamba has matrices that must not decay.
ADAMW = {"optimizer": "adamw"}
# An accuracy that the whole batch has at steps 3 and 4, and the second process's rows have not.
SOLVED = {"steps": 9, "solved_at": 0.3, "cool_down": 2}
SCENARIOS = {
    "uneven": (lambda: make_model(mixer_args=LEAPFROG, layers=2), Uneven(), ADAMW),
    "undecayed": (lambda: make_model("mamba", mixer_args={}), Uneven(), ADAMW | {"weight_decay": 5.0}),
    "labels": (classifier, LISTOPS, ADAMW | {"batch_size": 6}),
    "stories": (lambda: make_model("gated_deltanet", layers=2), Stories(begins=(3, 100, 2, 4)), ADAMW),
    "muon": (lambda: make_model(layers=2), Uneven(), {}),
    "auxiliary": (
        lambda: make_model("holographic", layers=2, mixer_args={"dim": 16, "lag": 4}),
        Uneven(),
        ADAMW | {"auxiliary": 0.5},
    ),
    "solved": (lambda: make_model(mixer_args=LEAPFROG, layers=2), Uneven(), ADAMW | SOLVED),
}
NOT_IN_PARTS = ("auxiliary",)  # refused under fsdp
RESUMED = ("undecayed", "stories", "muon")


def scenarios(kind):
    return [name for name in SCENARIOS if kind != "fsdp" or name not in NOT_IN_PARTS]


def run(name, group=SINGLE_PROCESS, **options):
    """(curve, tokens, weights) of a scenario."""
    make, task, changes = SCENARIOS[name]
    model = make()
    progress = train(
        model,
        [task],
        make_config(**{"steps": 5, "record_every": 1, "lr": 0.002} | changes),
        device=CPU,
        group=group,
        **options,
    )
    return progress.curve, progress.tokens, {k: x.clone() for k, x in model.state_dict().items()}


def stopped(name, group, file, **options):
    """What ended a training that is not to end by itself, and the step that it came to."""
    steps = []
    after = options.pop("after_step", lambda step: None)

    def note(step):
        steps.append(step)
        after(step)

    try:
        run(name, group, checkpoint=file, run="r", after_step=note, **options)
    except (KeyboardInterrupt, Paused, HmlcoreError) as end:
        return type(end).__name__, str(end), len(steps)
    return "finished", "", len(steps)


def refusal(work):
    try:
        work()
    except HmlcoreError as error:
        return str(error)
    return "accepted"


def still_interrupted(group):
    """Whether Ctrl-C in training also ends, for all, what would come after it."""
    try:
        group.on_first(lambda: "measured", interruptible=True)
    except KeyboardInterrupt:
        return True
    return False


def together(group, folder: Path) -> dict:
    """Everything that tests look at, from one process of the group."""
    found: dict = {(name, group.strategy): run(name, group) for name in scenarios(group.strategy)}
    for name in RESUMED:
        file = folder / f"{name}-{group.strategy}"
        found["stopped", name, group.strategy] = stopped(name, group, file, after_step=stop_at(3))
        found["resumed", name, group.strategy] = run(name, group, checkpoint=folder / f"{name}-alone", run="r")

    def interrupt(step):
        if step == 3 and group.is_first:
            os.kill(os.getpid(), signal.SIGINT)

    interrupted = folder / f"interrupted-{group.strategy}"
    found["interrupted", group.strategy] = stopped("stories", group, interrupted, after_step=interrupt)
    found["still interrupted", group.strategy] = still_interrupted(group)
    group.asked_to_stop = False
    # Only the first is late.
    late = {"deadline": time.monotonic() - 1} if group.is_first else {"deadline": time.monotonic() + 1e6}
    found["late", group.strategy] = stopped("labels", group, folder / f"late-{group.strategy}", **late)
    (folder / f"file-{group.strategy}").write_text("in the way")
    unwritable = folder / f"file-{group.strategy}" / "c"
    found["unwritable", group.strategy] = stopped("labels", group, unwritable, checkpoint_seconds=0)

    def train_with(**changes):
        return refusal(lambda: train(make_model(), [Uneven()], make_config(**changes), device=CPU, group=group))

    def second_fails():
        require(group.is_first, "no data here")

    found["refused", group.strategy] = {
        "batch": train_with(batch_size=3),
        "energy": train_with(energy_penalty=0.1),
        "nan": train_with(lr=1e30, warmup=0, clip=1e9),
        "data": refusal(lambda: group.on_each(second_fails)),
    }
    from tiny_runs import impossible, tiny  # beside the tests of grids; only processes of a group come here

    grid = [tiny(), tiny("gru"), impossible()]
    outcome = run_grid(grid, Store(folder / f"store-{group.strategy}"), group=group)
    found["grid", group.strategy] = outcome.report()
    found["interrupted grid", group.strategy] = interrupted_grid([tiny(seed=1), tiny(seed=2)], group, folder)
    return found


def interrupted_grid(grid, group, folder):
    """What becomes of a grid whose first asked to stop before its first run is measured."""
    group.asked_to_stop = group.is_first
    outcome = run_grid(grid, Store(folder / f"none-{group.strategy}"), group=group)
    group.asked_to_stop = False
    return outcome.report()


def command_line() -> tuple[int, str]:
    """Exit code and output of `hml run` here, which cannot train within its budget."""
    said = io.StringIO()
    arguments = "run copy --only mixer=gru --seeds 0 --parallel ddp --budget 0.01s"
    with redirect_stdout(said):
        code = cli.main(arguments.split())
    return code, said.getvalue()


if __name__ == "__main__":
    torch.set_num_threads(1)
    results: dict = {}
    for way in KINDS:
        os.environ["MASTER_PORT"] = sys.argv[2 + KINDS.index(way)]
        with process_group(way) as ours:
            results |= together(ours, Path(sys.argv[1]))
            number = ours.rank
    os.environ["MASTER_PORT"] = sys.argv[4]
    results["command line"] = command_line()
    torch.save(results, Path(sys.argv[1]) / f"{number}.pt")
