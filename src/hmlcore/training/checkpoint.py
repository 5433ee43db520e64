"""Checkpoints: weights, optimiser and progress of an unfinished run in one safetensors file."""

import json
import os
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from hmlcore.errors import HmlcoreError
from hmlcore.models.tensor_file import detached, digest, read_whole, write_whole
from hmlcore.training.optim import MuonAdamW
from hmlcore.training.sharding import placed, whole

_FORMAT = "hmlcore checkpoint 2"


class Damaged(HmlcoreError):
    """A checkpoint that is not what was written, or not what this version writes."""


class Saved(NamedTuple):
    """What a checkpoint has besides weights and optimiser: counters, and the carried state if there is one."""

    progress: dict
    carried: dict[str, Tensor]


def collected(
    model: nn.Module,
    optimizer: MuonAdamW | torch.optim.Optimizer,
    carried: dict[str, Tensor] | None = None,
    keep: bool = True,
) -> dict[str, Tensor]:
    """Everything the next step needs, by name, on the CPU: weights, optimiser, random state, carried memory.

    Every process of a training must ask, where each holds a part; those that `keep` nothing get nothing.
    """
    named = {f"model.{name}": x for name, x in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, x in optimizer.state.get(parameter, {}).items():
            named[f"optimizer.{name}.{key}"] = torch.as_tensor(x)
    named |= {f"carried.{name}": x for name, x in (carried or {}).items()}
    tensors = {}
    for name, x in named.items():  # one at a time: a device may not hold all of them whole
        full = whole(x)
        if keep:
            tensors |= detached({name: full})
    return tensors | {"rng": torch.get_rng_state()} if keep else {}


def write_checkpoint(path: Path, tensors: dict[str, Tensor], progress: dict, run: str) -> None:
    """Write what was collected; the file appears whole or not at all.

    Args:
        progress: JSON-able counters (step, losses so far, seconds).
        run: the spec hash, so that no other run can resume from this file.
    Raises: HmlcoreError where the disk refuses (full, read-only); an earlier checkpoint stays as it was.
    """
    metadata = {"run": run, "progress": json.dumps(progress)}
    metadata |= {"format": _FORMAT, "sha256": digest(tensors, *metadata.values())}
    write_whole(path, tensors, metadata, "checkpoint")


def set_aside(path: Path) -> Path:
    """Give a checkpoint that cannot be used another name, beside it, which no other file has; returns that.

    Raises: HmlcoreError where the disk refuses.
    """
    names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in count())
    kept = next(name for name in names if not os.path.lexists(name))
    try:
        return path.replace(kept)
    except OSError as error:
        raise HmlcoreError(f"cannot rename {path} to {kept}: {error.strerror or error}") from error


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: MuonAdamW | torch.optim.Optimizer, run: str
) -> Saved:
    """Restore model, optimiser and random state in place; returns the rest of what was saved.

    Raises: Damaged, naming the file, before anything was restored; HmlcoreError where it cannot be read, or is
        whole and of another run or model.
    """
    remedy = f"delete {path} to start the run afresh"
    metadata, tensors = _intact(path)
    if metadata["run"] != run:
        raise HmlcoreError(f"checkpoint {path} belongs to run {metadata['run'][:16]}, not {run[:16]}; {remedy}")
    rng = tensors.pop("rng")
    weights = {name.removeprefix("model."): x for name, x in tensors.items() if name.startswith("model.")}
    own = model.state_dict()
    weights = {name: placed(x, own[name]) if name in own else x for name, x in weights.items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise HmlcoreError(f"checkpoint {path} does not fit the run's model; {remedy}") from error
    states: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, x in tensors.items():
        if name.startswith("optimizer."):
            weight, key = name.removeprefix("optimizer.").rsplit(".", 1)
            states[weight][key] = x
    for name, parameter in model.named_parameters():
        if name in states:
            optimizer.state[parameter] = {
                key: x if key == "step" else placed(x, parameter) for key, x in states[name].items()
            }
    torch.set_rng_state(rng)
    carried = {name.removeprefix("carried."): x for name, x in tensors.items() if name.startswith("carried.")}
    return Saved(json.loads(metadata["progress"]), carried)


def _intact(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a checkpoint; all that is read is under its hash. Raises: as load_checkpoint."""
    try:
        metadata, tensors = read_whole(path)
    except SafetensorError as error:
        raise Damaged(f"checkpoint {path} is corrupt ({error})") from error
    except OSError as error:
        raise HmlcoreError(f"checkpoint {path} cannot be read ({error})") from error
    if metadata.get("format") != _FORMAT:
        raise Damaged(f"{path} is no hmlcore checkpoint of this version")
    texts = metadata.get("run", ""), metadata.get("progress", "")
    if metadata.get("sha256") != digest(tensors, *texts):
        raise Damaged(f"checkpoint {path} is corrupt (its contents do not match their hash)")
    return metadata, tensors
