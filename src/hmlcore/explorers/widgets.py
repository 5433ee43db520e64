"""Explorers in a notebook: widgets around the same front end as the pages (anywidget).

    PhaseExplorer()                                     the models of the package
    MemoryExplorer(model, text="abca", alphabet="abc")  one of yours, of few enough weights
    MemoryExplorer("models/explorer-models-….safetensors")

The model runs in the browser; the kernel holds and hears `text`, `at` (the token looked at, from 0; None, the
last of a text that is given, else a place of the explorer's own) and `chosen`, the name of the model.
"""

import tempfile
from pathlib import Path

import torch
import traitlets

from hmlcore.checks import check_choice, check_instance, check_int, check_optional, check_tuple
from hmlcore.errors import HmlcoreError, require, shown
from hmlcore.explorers.kinds import kind
from hmlcore.explorers.models import TRACE_FORMAT, Source, metadata_of, packaged, source, spec_of
from hmlcore.explorers.module import es_module
from hmlcore.models import Backbone
from hmlcore.models.saved import save_model
from hmlcore.optional import need

need("an explorer in a notebook", "book", "anywidget")

import anywidget  # noqa: E402, after what says how it is installed

MIXERS = ("hml", "gated_deltanet", "gru", "attention")
"""That the front end can run; ``js/mixers.js`` says which of their options."""


Given = Backbone | Path | str | None


class Explorer(anywidget.AnyWidget):
    """What the explorers share.

    Args:
        model: a trained model, the file of a saved one or of a saved trace, or None for those of the package.
        text: what the memory reads.
        at: the token looked at, from 0; None, the last of a text that is given, else the explorer's own place.
        alphabet: the character of each token, where `model` is not one of the package's tasks.

    Raises: HmlcoreError for an argument of another type.
    A model that the page cannot run, with weights that are not finite, too large or not there is told in the
    widget, where it is looked for; `problem` has the message, and is empty where all is well.
    """

    kind_name = ""
    _esm = es_module()
    explorer = traitlets.Unicode().tag(sync=True)
    sources = traitlets.Dict().tag(sync=True)
    data = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    problem = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
    at = traitlets.Int(allow_none=True, default_value=None, min=0).tag(sync=True)

    def __init__(
        self,
        model: Given = None,
        text: str | None = None,
        at: int | None = None,
        alphabet: str | None = None,
        **traits,
    ):
        own, problem = kind(self.kind_name), ""
        require(
            model is None or isinstance(model, Backbone | Path | str),
            f"model must be a Backbone, a path or None, got {shown(model)}",
        )
        check_optional("text", text, check_instance, str)
        check_optional("alphabet", alphabet, check_instance, str)
        at = check_optional("at", at, check_int, 0)
        try:
            found = _sources(model, alphabet, own.models)
        except HmlcoreError as error:
            found, problem = {}, str(error)
        at = own.at - 1 if at is None and text is None and own.at else at
        super().__init__(
            explorer=self.kind_name, sources={name: one.plain() for name, one in found.items()},
            chosen=next(iter(found), ""), text=own.text if text is None else text, at=at, problem=problem,
            **traits,
        )  # fmt: skip


def _sources(model: Given, alphabet: str | None, own: tuple[str, ...]) -> dict[str, Source]:
    """The model that was given, or those of the package; the front end takes no others."""
    if model is None:
        return packaged(*own) if own else {}
    if not isinstance(model, Backbone):
        is_trace = metadata_of(Path(model)).get("format") == TRACE_FORMAT
        # A spec need not be with a model; the front end looks too.
        if not is_trace and (mixer := spec_of(Path(model)).get("mixer")):
            _check_mixer(mixer)
        return {"yours": source(model, alphabet)}
    return {"yours": _of_model(model, alphabet)}


def _check_mixer(mixer: str) -> None:
    """Refuse the mixers that the front end has no recurrence of."""
    require(mixer in MIXERS, f"the explorers run {', '.join(MIXERS)}; the model's mixer is {mixer!r}")


def _of_model(model: Backbone, alphabet: str | None) -> Source:
    """A model in memory for the front end."""
    size = model.config.vocab_size
    _check_mixer(model.config.mixer)
    if alphabet is None:
        raise HmlcoreError("alphabet must be given with a model: the character of each token")
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


class BindingExplorer(Explorer):
    """Pairs added to one sum, and how many of them can be read; it needs no model."""

    kind_name = "binding"

    def __init__(self) -> None:
        super().__init__()


class SlotsExplorer(Explorer):
    """What a sparse memory keeps of a text, and why; it has no trained model."""

    kind_name = "slots"

    def __init__(self, text: str | None = None, at: int | None = None):
        super().__init__(text=text, at=at)


class StoreExplorer(Explorer):
    """The runs of a results store. Args: store, profiles; None, those of this project."""

    kind_name = "store"

    def __init__(self, store=None, profiles: tuple[str, ...] | None = None):
        from hmlcore import paths
        from hmlcore.explorers.store import store_data
        from hmlcore.results import Store
        from hmlcore.studies.kit.study import PROFILES

        store = Store(paths.results()) if store is None else check_instance("store", store, Store)
        profiles = PROFILES if profiles is None else check_tuple("profiles", profiles, check_choice, PROFILES)
        super().__init__(data=store_data(store, profiles))
