"""Explorers in a notebook: widgets around the same front end as the pages (anywidget).

    PhaseExplorer()                                     the models of the package
    MemoryExplorer(model, text="abca", alphabet="abc")  one of yours, of few enough weights
    MemoryExplorer("models/explorer-models-….safetensors")

The model runs in the browser; the kernel holds and hears `text`, `at` (the token looked at, from 0; None, the
last) and `chosen`, the name of the model.
"""

import tempfile
from pathlib import Path

import torch
import traitlets

from hmlcore.errors import require
from hmlcore.explorers.kinds import kind
from hmlcore.explorers.models import Source, packaged, source
from hmlcore.explorers.module import es_module
from hmlcore.models import Backbone
from hmlcore.models.saved import save_model
from hmlcore.optional import need

need("an explorer in a notebook", "book", "anywidget")

import anywidget  # noqa: E402, after what says how it is installed

MIXERS = ("hml", "gated_deltanet", "gru", "attention")
"""That the front end can run; ``js/mixers.js`` says which of their options."""


class Explorer(anywidget.AnyWidget):
    """What the explorers share.

    Args:
        model: a trained model, the file of a saved one, or None for those of the package.
        text: what the memory reads. at: the token looked at, from 0; None, the last.
        alphabet: the character of each token, where `model` is not one of the package's tasks.
    Raises: HmlcoreError for a model that the page cannot run, with weights that are not finite, or too large.
    """

    kind_name = ""
    _esm = es_module()
    explorer = traitlets.Unicode().tag(sync=True)
    sources = traitlets.Dict().tag(sync=True)
    data = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    at = traitlets.Int(allow_none=True, default_value=None, min=0).tag(sync=True)

    def __init__(
        self,
        model: Backbone | Path | str | None = None,
        text: str | None = None,
        at: int | None = None,
        alphabet: str | None = None,
        **traits,
    ):
        own = kind(self.kind_name)
        found = packaged(*own.models) if model is None and own.models else {}
        if model is not None:
            reads = _of_model if isinstance(model, Backbone) else source
            found = {"yours": reads(model, alphabet)}
        at = own.at - 1 if at is None and text is None and own.at else at
        super().__init__(
            explorer=self.kind_name, sources={name: one.plain() for name, one in found.items()},
            chosen=next(iter(found), ""), text=own.text if text is None else text, at=at, **traits,
        )  # fmt: skip


def _of_model(model: Backbone, alphabet: str | None) -> Source:
    """A model in memory for the front end."""
    mixer, size = model.config.mixer, model.config.vocab_size
    require(mixer in MIXERS, f"the explorers run {', '.join(MIXERS)}; the model's mixer is {mixer!r}")
    require(alphabet is not None, "alphabet must be given with a model: the character of each token")
    require(len(alphabet) == size, f"alphabet has {len(alphabet)} characters, and the model {size} tokens")
    for name, weight in model.named_parameters():
        require(bool(torch.isfinite(weight).all()), f"the model's weight {name} is not finite")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(path, model)
        return source(path, alphabet)


class PhaseExplorer(Explorer):
    """How each head moves: phase planes, energy, rotors, and the physics under your hand."""

    kind_name = "phase"


class MemoryExplorer(Explorer):
    """Which past tokens can still be read, by whom, and what overwrote them."""

    kind_name = "memory"


class GradientExplorer(Explorer):
    """What of a gradient survives, and the eigenvalues of the steps it runs back through."""

    kind_name = "gradient"


class RaceExplorer(Explorer):
    """One text through several memories."""

    kind_name = "race"


class StoreExplorer(Explorer):
    """The runs of a results store. Args: store, profiles; None, those of this project."""

    kind_name = "store"

    def __init__(self, store=None, profiles: tuple[str, ...] | None = None):
        from hmlcore import paths
        from hmlcore.explorers.store import store_data
        from hmlcore.results import Store
        from hmlcore.studies.kit.study import PROFILES

        store = Store(paths.results()) if store is None else store
        super().__init__(data=store_data(store, PROFILES if profiles is None else profiles))
