"""A training small enough to repeat many times: two tasks, one block, every mixer."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from safetensors import safe_open

from hmlcore.models import Backbone, BackboneConfig
from hmlcore.tasks import Continued, Task, build_task
from hmlcore.training import TrainingConfig, train
from hmlcore.training.objective import scored, scored_sums

MIXERS = ("attention", "gru", "hml")
TASKS = [build_task("copy", payload=2, delay=d, alphabet=4) for d in (0, 3)]
CPU = torch.device("cpu")


def make_model(mixer="hml", seed=0, **sizes):
    torch.manual_seed(seed)
    sizes = {
        "d_model": 8,
        "layers": 1,
        "d_ff": 12,
        "mixer_args": {} if mixer == "gru" else {"num_heads": 2},
    } | sizes
    return Backbone(BackboneConfig(TASKS[0].vocab_size, mixer, **sizes))


def make_config(**changes):
    values = {"steps": 12, "batch_size": 4, "seed": 1, "lr": 0.01, "warmup": 3, "record_every": 5}
    return TrainingConfig(**values | changes)


def fit(model, config=None, **options):
    return train(model, TASKS, config or make_config(), device=CPU, **options)


def mean_loss(model, batch):
    """Mean cross entropy (nats) and accuracy over what is scored."""
    sums, count = scored_sums(model, batch), scored(batch)
    return sums.nats / count, sums.right / count


def contents(file):
    """Everything in a checkpoint but the seconds it took."""
    with safe_open(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        progress = json.loads(opened.metadata()["progress"])
    progress.pop("seconds")
    return tensors, progress


def stop_at(*steps):
    def interrupt(step):
        if step in steps:
            raise KeyboardInterrupt

    return interrupt


def assert_identical(found, wanted):
    costs = {"peak_memory_bytes": None}
    assert found[1] | costs == wanted[1] | costs
    assert found[0].keys() == wanted[0].keys()
    assert all(torch.equal(found[0][name], x) for name, x in wanted[0].items())
    assert any(name.startswith("optimizer.") and name.endswith("exp_avg_sq") for name in found[0])


@dataclass(frozen=True)
class Stories(Task):
    """Documents of random tokens that rows read on through, each its own; next-token prediction.

    Row b begins a document at every step that `begins[b]` divides.
    """

    name: ClassVar[str] = "stories"

    span: int = 6
    begins: tuple[int, ...] = (3, 100, 2, 1)
    seed: int = 0

    @property
    def vocab_size(self) -> int:
        return TASKS[0].vocab_size

    @property
    def length(self) -> int:
        return self.span

    def document(self, row: int, number: int) -> torch.Tensor:
        """All tokens of a document, one more than is read as input."""
        made = torch.Generator().manual_seed(1000 * self.seed + 100 * row + number)
        return torch.randint(self.vocab_size, (self.begins[row] * self.span + 1,), generator=made)

    def batch(self, split, index, batch_size, seed) -> Continued:
        rows, fresh = [], []
        for row, every in enumerate(self.begins):
            number, part = divmod(index, every)
            rows.append(self.document(row, number)[part * self.span : (part + 1) * self.span + 1])
            fresh.append(part == 0)
        read = torch.stack(rows)
        return Continued(read[:, :-1], read[:, 1:], torch.tensor(fresh))

    def conditions(self) -> dict[str, Any]:
        return {}
