"""Safetensors files that appear whole or not at all, and that notice when they were damaged."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from hmlcore.errors import HmlcoreError
from hmlcore.files import write_file


def detached(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU: a file must not share storage, and a model may be on any device."""
    return {name: x.detach().cpu().clone().contiguous() for name, x in tensors.items()}


def write_whole(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], what: str) -> None:
    """Write the file of `what`, which errors name; a reader sees the earlier file or the new one.

    Raises: HmlcoreError where the disk refuses (full, read-only); an earlier file stays as it was.
    """
    write_file(path, to_bytes(tensors, metadata), what)


def read_whole(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors, on the CPU. Raises: SafetensorError or OSError where there are none."""
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def names_in(path: Path) -> list[str]:
    """What the tensors of a file are called. Raises: HmlcoreError where it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise HmlcoreError(f"{path} is corrupt ({error})") from error


def digest(tensors: dict[str, Tensor], *texts: str) -> str:
    """SHA-256 of names, contents and `texts`: safetensors itself does not notice a flipped bit."""
    found = hashlib.sha256()
    for name, x in sorted(tensors.items()):
        found.update(f"{name} {x.dtype} {tuple(x.shape)}".encode())
        found.update(x.reshape(-1).view(torch.uint8).numpy().data)
    for text in texts:
        found.update(f"{len(text)} {text}".encode())
    return found.hexdigest()
