"""The models that the explorers open: those of the package, and any other that is small enough. Needs no torch.

The package's are the runs of the experiment explorer-models (``studies.explorers``); each file says which.
"""

import base64
import json
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from hmlcore.checks import check_text
from hmlcore.errors import HmlcoreError, require, unknown
from hmlcore.studies.explorers import ALPHABETS

LARGEST = 300_000
"""Bytes of one model's file."""
TRACE_FORMAT = "hmlcore trace 1"
"""What a file says that is a saved trace, :mod:`hmlcore.explorers.saved_trace`."""


class Source(NamedTuple):
    """A model as the front end takes it: its file in base 85, the character of each token, and its task."""

    weights: str
    alphabet: str
    task: str

    def plain(self) -> dict[str, str]:
        """As JSON knows it."""
        return self._asdict()


def files() -> dict[str, Path]:
    """Name → file of every model of the package, in the order that people meet them."""
    folder = Path(str(resources.files("hmlcore.explorers") / "models"))
    found = {spec_of(path)["variant"]: path for path in sorted(folder.glob("*.safetensors"))}
    return {name: found[name] for name in (*ORDER, *found) if name in found}


ORDER = (
    "hml", "hml-text", "hml-start", "hml-leapfrog", "hml-sums", "gated-deltanet", "gated-deltanet-start",
    "gru", "attention",
)  # fmt: skip


def metadata_of(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself.  Raises: HmlcoreError where it is missing or is none of ours."""
    require(path.is_file(), f"there is no model {path}")
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        head = file.read(min(size, LARGEST))
    try:
        return dict(json.loads(head)["__metadata__"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HmlcoreError(f"{path} is no saved model of hmlcore") from error


def spec_of(path: Path) -> dict:
    """The spec of the run that made a saved model.

    Raises: HmlcoreError where the file is missing or is no saved model.
    """
    try:
        return json.loads(metadata_of(path)["extra"]).get("spec", {})
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise HmlcoreError(f"{path} is no saved model of hmlcore") from error


def source(path: Path | str, alphabet: str | None = None) -> Source:
    """The model or the saved trace in `path`, for the front end.

    Args: alphabet, the character of each token; None, that of the task its spec names.
    Raises: HmlcoreError where the file is missing, is no saved model, is too large, or its alphabet is unknown.
    """
    path = Path(path)
    if metadata_of(path).get("format") == TRACE_FORMAT:
        return Source(base64.b85encode(path.read_bytes()).decode(), "", "")
    spec = spec_of(path)
    size = path.stat().st_size
    require(size <= LARGEST, f"{path} has {size:,} bytes; explorers take models of at most {LARGEST:,}")
    task = spec.get("task", "")
    if alphabet is None:
        require(task in ALPHABETS, f"alphabet must be given: the model {path} is of task {task!r}")
        alphabet = ALPHABETS[task]
    check_text("alphabet", alphabet)
    return Source(base64.b85encode(path.read_bytes()).decode(), alphabet, task)


def packaged(*names: str) -> dict[str, Source]:
    """The package's models of these names, in their order; all if none is named.

    Raises: HmlcoreError for an unknown name.
    """
    known = files()
    for name in names:
        if name not in known:
            raise unknown("explorer model", name, known)
    return {name: source(known[name]) for name in names or known}
