"""The untrained model of a spec, and whether this machine may run it."""

import torch

from hmlcore.errors import HmlcoreError
from hmlcore.models import (
    Backbone,
    BackboneConfig,
    Classifier,
    MemorizingConfig,
    RecurrentMemoryConfig,
    SparseConfig,
    match_parameters,
)
from hmlcore.tasks import LabelledTask, Task

_KINDS: dict[str, type[BackboneConfig]] = {
    "memory": SparseConfig, "neighbours": MemorizingConfig, "segments": RecurrentMemoryConfig,
}  # fmt: skip
"""What a spec's model may have beside its blocks → the configuration whose further fields those are."""


def model_config(spec: dict, vocab_size: int) -> BackboneConfig:
    """The backbone of a spec, with the memory that ``model.memory``, ``model.neighbours`` or ``model.segments``
    describes, if one does: its MLP width chosen to meet ``model.target_parameters`` within 1%."""
    model = spec["model"]
    field = next((name for name in _KINDS if name in model), "")
    config = _KINDS.get(field, BackboneConfig)(
        vocab_size, spec["mixer"], model["d_model"], model["layers"], mixer_args=model["mixer_args"],
        embedding_std=model.get("embedding_std", 0.02), **model.get(field, {}),
    )  # fmt: skip
    return match_parameters(config, model["target_parameters"])


def build_model(spec: dict, task: Task) -> Backbone | Classifier:
    """The untrained model of a spec, a classifier where `task` has labels; weights depend on the seed alone."""
    config = model_config(spec, task.vocab_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec["seed"])
        if isinstance(task, LabelledTask):
            return Classifier(config, task.classes, spec.get("direction") == "bidirectional")
        return config.build()


def check_machine(profile: str, device: torch.device, dirty: bool | None, force: bool) -> None:
    """Refuse a `full` run on a CPU, from uncommitted code, or where Git does not say (`dirty` None), unless
    forced: it would pass for reference."""
    if profile != "full" or force:
        return
    if device.type == "cpu":
        raise HmlcoreError("profile 'full' needs a GPU and this machine has none; add --force to run anyway")
    if dirty:
        raise HmlcoreError(
            "profile 'full' needs committed code and the tree has changes; commit, or add --force"
        )
    if dirty is None:
        raise HmlcoreError(
            "profile 'full' needs committed code and Git does not say whether this is; run it in a checkout "
            "(git status tells what is wrong), or add --force"
        )
