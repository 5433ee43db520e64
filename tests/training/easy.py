"""A training small enough to repeat many times: two tasks, one block, every mixer."""

import torch

from hmlcore.models import Backbone, BackboneConfig
from hmlcore.tasks import build_task
from hmlcore.training import TrainingConfig, train

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
