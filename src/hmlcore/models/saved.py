"""A finished model in one safetensors file: the weights, and in the metadata all that rebuilds it."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor

from hmlcore.errors import HmlcoreError, require, unknown
from hmlcore.layers.base import former_names
from hmlcore.models.backbone import Backbone, BackboneConfig
from hmlcore.models.classifier import Classifier
from hmlcore.models.memorizing import Memorizing, MemorizingConfig
from hmlcore.models.recurrent_memory import RecurrentMemory, RecurrentMemoryConfig
from hmlcore.models.sparse import Sparse, SparseConfig
from hmlcore.models.tensor_file import detached, digest, read_whole, write_whole

_FORMAT = "hmlcore model 1"
_CHECKPOINT = "hmlcore checkpoint"
_BLOCK = re.compile(r"(?<=\bblocks\.)\d+(?=\.)")
_CONFIGS = {
    "Backbone": BackboneConfig, "Classifier": BackboneConfig, "Sparse": SparseConfig,
    "Memorizing": MemorizingConfig, "RecurrentMemory": RecurrentMemoryConfig,
}  # fmt: skip
_BACKBONES = (Backbone, Sparse, Memorizing, RecurrentMemory)


class Saved(NamedTuple):
    """A model as it was saved, and what was saved with it (the spec of its run, say)."""

    model: Backbone | Classifier
    extra: dict


def save_model(path: Path | str, model: Backbone | Classifier, extra: dict | None = None) -> None:
    """Write `model` so that :func:`load_model` rebuilds it; the file appears whole or not at all.

    Args: extra, anything else worth keeping, as JSON knows it.
    Raises: HmlcoreError for a model of another class, an `extra` or mixer argument that JSON does not know,
        and where the disk refuses (an earlier file stays as it was).
    """
    path, tensors = Path(path), detached(model.state_dict())
    try:
        config = json.dumps(_config(model), allow_nan=False)
        extra_text = json.dumps(extra or {}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise HmlcoreError(f"the model cannot be saved to {path}: {error}") from error
    metadata = {"format": _FORMAT, "config": config, "extra": extra_text}
    metadata["sha256"] = digest(tensors, config, extra_text)
    write_whole(path, tensors, metadata, "model")


def load_model(path: Path | str) -> Saved:
    """The model that :func:`save_model` wrote, on the CPU, in the dtype it had, and its `extra`.

    Nothing in the file is executed.
    Raises: HmlcoreError naming the file, where it is missing, corrupt, or not of this format; and for a
        mixer that is not registered here.
    """
    path = Path(path)
    require(path.exists(), f"there is no model {path}")
    kind = "folder" if path.is_dir() else "device or pipe"
    require(path.is_file(), f"{path} is a {kind}, not a saved model")
    try:
        metadata, tensors = read_whole(path)
    except (SafetensorError, OSError) as error:
        raise HmlcoreError(f"the model {path} is corrupt ({error})") from error
    found = metadata.get("format", "")
    require(not found.startswith(_CHECKPOINT), f"{path} is the checkpoint of an unfinished run, no model")
    require(found == _FORMAT, f"{path} is no hmlcore model of this version")
    texts = metadata.get("config", ""), metadata.get("extra", "")
    require(
        metadata.get("sha256") == digest(tensors, *texts),
        f"the model {path} is corrupt (its contents do not match their hash)",
    )
    try:
        config, extra = map(json.loads, texts)
        require(isinstance(extra, dict), "what was saved beside the model is no dictionary")
        _compare(config, tensors)
        with torch.random.fork_rng(devices=[]):  # the weights that are drawn here are replaced at once
            model = _build(config)
        former = former_names(model)
        tensors = {former.get(name, name): x for name, x in tensors.items()}
        for name, parameter in model.named_parameters():
            if name in tensors:
                parameter.data = parameter.data.to(tensors[name].dtype)
        model.load_state_dict(tensors)
    except (RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        reason = str(error).partition("\n")[0]  # torch goes on with where in C++ it happened
        raise HmlcoreError(f"the model {path} cannot be rebuilt: {reason}") from error
    return Saved(model, extra)


def count_blocks(names: Iterable[str]) -> int:
    """How many blocks weights of these names are of."""
    return len({match[0] for match in map(_BLOCK.search, names) if match})


def _config(model: Backbone | Classifier) -> dict:
    """What rebuilds `model`, without its weights."""
    if isinstance(model, Backbone) and type(model) in _BACKBONES:
        return {"class": type(model).__name__, "backbone": asdict(model.config)}
    if type(model) is Classifier:
        return {
            "class": "Classifier", "backbone": asdict(model.backbone.config),
            "classes": model.head.out_features, "bidirectional": model.bidirectional,
        }  # fmt: skip
    raise unknown("class of model", type(model).__name__, _CONFIGS)


def _compare(config: dict, tensors: dict[str, Tensor]) -> None:
    """Refuse a configuration that is not that of the tensors, by one block without contents.

    A file that says it has millions of layers, or wide ones, is not believed before they are allocated.
    """
    layers, blocks = config["backbone"]["layers"], count_blocks(tensors)
    require(layers == blocks, f"its configuration says layers = {layers!r}, and it holds {blocks} blocks")
    one = config | {"bidirectional": False, "backbone": config["backbone"] | {"layers": 1}}
    with torch.device("meta"):
        model = _build(one)
    wanted, former = model.state_dict(), former_names(model)
    for name, x in tensors.items():
        alike = _BLOCK.sub("0", name)
        alike = former.get(alike, alike)
        require(alike in wanted, f"its weight {name} is no part of its configuration")
        shape = wanted[alike].shape
        require(
            x.shape == shape,
            f"its weight {name} is {tuple(x.shape)}, and its configuration asks for {tuple(shape)}",
        )
    count = sum(layers if _BLOCK.search(name) else 1 for name in wanted)
    require(len(tensors) == count, f"it lacks weights: {len(tensors)} of {count} are there")


def _build(config: dict) -> Backbone | Classifier:
    if config["class"] not in _CONFIGS:
        raise unknown("class of model", config["class"], _CONFIGS)
    kind = _CONFIGS[config["class"]]
    foreign = sorted(set(config["backbone"]) - {field.name for field in fields(kind)})
    require(not foreign, f"its backbone has fields that this version does not know: {', '.join(foreign)}")
    backbone = kind(**config["backbone"])
    if config["class"] == "Classifier":
        return Classifier(backbone, config["classes"], config["bidirectional"])
    return backbone.build()
