"""Muon on hidden matrices with AdamW on the rest, what decays, and the schedule of the learning rate."""

import math

import torch
from torch import nn

from hmlcore.checks import check_choice, check_number, check_positive
from hmlcore.layers.base import decaying
from hmlcore.models.backbone import Block
from hmlcore.training.muon import Muon
from hmlcore.training.settings import OPTIMIZERS, Progress, TrainingConfig

# Muon's rate over AdamW's: .02 where the rest learns at .01. Its steps have unit size in every direction of a
# matrix, so that it is the less delicate of the two, and one rate is tuned for both.
MUON_RATE = 2.0


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups: those that :func:`~hmlcore.layers.base.decaying` names, embeddings and convolution taps among
    them, and all others."""
    weight_decay = check_number("weight_decay", weight_decay, 0)
    shrinks, decay, keep = set(decaying(model)), [], []
    for name, parameter in model.named_parameters():
        (decay if name in shrinks else keep).append(parameter)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": keep, "weight_decay": 0.0}]


def hidden_matrices(model: nn.Module) -> list[str]:
    """Names of the matrices between hidden states, which Muon may take: those of the blocks that decay.

    Not among them are the embedding and the head, whose rows are tokens, and what a mixer names in
    `not_hidden`: taps of convolutions, maps to gates.
    """
    decay, hidden = set(decaying(model)), []
    for path, block in model.named_modules():
        if isinstance(block, Block):
            spared = {f"mixer.{name}" for name in block.mixer.not_hidden}
            for name, p in block.named_parameters():
                within = {name, name.rpartition(".")[0]}  # a parameter of its own, or one of its module
                if p.ndim == 2 and f"{path}.{name}" in decay and not within & spared:
                    hidden.append(f"{path}.{name}")
    return hidden


class MuonAdamW:
    """Two optimisers that share their state and look like one: :class:`~hmlcore.training.muon.Muon` for hidden
    matrices, at twice the rate, and AdamW for all else. Both decay alike."""

    def __init__(self, model: nn.Module, lr: float, weight_decay: float):
        hidden = set(hidden_matrices(model))
        matrices = [p for name, p in model.named_parameters() if name in hidden]
        taken = {id(p) for p in matrices}
        groups = parameter_groups(model, weight_decay)
        rest = [group | {"params": [p for p in group["params"] if id(p) not in taken]} for group in groups]
        self.adamw = adamw(rest, lr)
        self.parts: list[torch.optim.Optimizer] = [self.adamw]
        if matrices:
            own = {"params": matrices, "rate": MUON_RATE}
            muon = Muon([own], lr=MUON_RATE * lr, weight_decay=weight_decay)
            muon.state = self.adamw.state
            self.parts.append(muon)

    @property
    def param_groups(self) -> list[dict]:
        """Of both; a group's `rate`, 1 where it has none, is what the learning rate is multiplied by."""
        return [group for part in self.parts for group in part.param_groups]

    @property
    def state(self) -> dict:
        """Parameter → what its optimiser keeps."""
        return self.adamw.state

    def step(self) -> None:
        """One step of both."""
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of both."""
        for part in self.parts:
            part.zero_grad(set_to_none)


def adamw(groups: list[dict], lr: float) -> torch.optim.AdamW:
    """AdamW, β = (.9, .95), ε = 1e-8."""
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8)


def build_optimizer(
    model: nn.Module, lr: float, weight_decay: float, kind: str = "muon"
) -> MuonAdamW | torch.optim.AdamW:
    """The recipe of all trainings, "muon" (:class:`MuonAdamW`), or "adamw" alone; lr is AdamW's.

    Raises: HmlcoreError for a rate that is not above 0, a negative decay, an unknown kind.
    """
    lr, weight_decay = check_positive("lr", lr), check_number("weight_decay", weight_decay, 0)
    if check_choice("optimizer", kind, OPTIMIZERS) == "muon":
        return MuonAdamW(model, lr, weight_decay)
    return adamw(parameter_groups(model, weight_decay), lr)


def set_rate(optimizer: MuonAdamW | torch.optim.Optimizer, lr: float) -> None:
    """Give every group its learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("rate", 1.0)


def learning_rate(step: int, steps: int, peak: float, warmup: int, floor: float = 0.1) -> float:
    """Rate of step 0 … steps − 1: linear from 0 over `warmup` steps, then a cosine to floor · peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def scheduled_rate(progress: Progress, config: TrainingConfig) -> float:
    """Rate of the next step: :func:`learning_rate`, and a cool-down once the task is solved.

    Solved at step S and ended at S + C: η_{S+k} = η_S · (1 − k/C), k = 0 … C − 1, a warm-up backwards.
    """
    step, solved = progress.step, progress.solved
    if solved is None:
        return learning_rate(step, config.steps, config.lr, config.warmup)
    end = progress.end(config)
    return learning_rate(solved, config.steps, config.lr, config.warmup) * (end - step) / (end - solved)
