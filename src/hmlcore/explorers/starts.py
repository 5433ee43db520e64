"""The start of a trained model: the same weights before training, for a page that shows both."""

from pathlib import Path

from hmlcore.explorers.models import files, spec_of
from hmlcore.models import Backbone, Classifier
from hmlcore.models.saved import save_model
from hmlcore.runner.model import build_model
from hmlcore.studies.kit.comparison import task_from

STARTS = ("hml", "gated-deltanet")
"""Models of the package whose start is there too, as NAME-start."""


def start_of(name: str) -> tuple[Backbone | Classifier, dict]:
    """The untrained model behind the package's model `name`, and its spec: the same of no steps."""
    spec = spec_of(files()[name])
    return build_model(spec, task_from(spec["train"][0])), spec | {"variant": f"{name}-start", "steps": 0}


def write_starts(folder: Path) -> list[Path]:
    """Write the file of every start to `folder`, where the package's models lie."""
    written = []
    for name in STARTS:
        model, spec = start_of(name)
        written.append(folder / f"{name}-start.safetensors")
        save_model(written[-1], model, {"spec": spec})
    return written
