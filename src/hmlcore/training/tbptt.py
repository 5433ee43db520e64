"""Truncated backpropagation through time, over batches of texts that go on.

A step reads where the step before stopped, from the state that it left, and its gradient ends at the first
token of the batch. Source: Williams and Peng (Neural Computation 2, 1990).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hmlcore.errors import HmlcoreError, require
from hmlcore.models import Backbone, Classifier, map_state
from hmlcore.tasks import Batch, Continued, Labelled, Task


def uses_tbptt(
    model: Backbone | Classifier,
    tasks: Sequence[Task],
    batches: Sequence[Batch | Continued | Labelled],
    rows: int,
    energy_penalty: float = 0.0,
) -> bool:
    """Whether training on `tasks` carries the state from batch to batch: if `batches`, one of each task, go on.

    Raises: HmlcoreError where it cannot be carried: several tasks, which interrupt one another; a model
        whose state grows with the text; batches that have not `rows` rows; an energy penalty.
    """
    pairs = zip(tasks, batches, strict=True)
    going_on = [(task.name, batch) for task, batch in pairs if isinstance(batch, Continued)]
    if not going_on:
        return False
    name, first = going_on[0]
    named = f"task {name!r} goes on from batch to batch"
    require(len(tasks) == 1, f"{named} and must be the only one, got {len(tasks)} tasks: give each a run")
    if not isinstance(model, Backbone):
        raise HmlcoreError(f"{named} and needs a model of tokens, not a classifier")
    length = tasks[0].length
    short, long = model.state_size(length), model.state_size(2 * length)
    require(
        short == long,
        f"{named}, and the state of mixer {model.config.mixer!r} grows with the text ({short} floats after "
        f"{length} tokens, {long} after {2 * length}): only a bounded memory can be carried",
    )
    _check_rows(first.fresh, rows)
    require(energy_penalty == 0, f"energy_penalty = {energy_penalty} needs batches that begin empty; {named}")
    return True


class CarriedState:
    """What a model remembers between the batches of texts that go on.

    Args: model; rows B of every batch.
    """

    def __init__(self, model: Backbone, rows: int):
        self.model, self.rows = model, rows
        self.state = model.init_state(rows)

    def begin(self, fresh: Tensor) -> list:
        """The state that a batch starts from: what is carried, and the empty memory where `fresh` [B].

        Raises: HmlcoreError for another number of rows than B.
        """
        _check_rows(fresh, self.rows)
        empty = self.model.init_state(self.rows)
        return map_state(lambda new, kept: _where(fresh, new, kept), empty, self.state)

    def keep(self, state: list) -> None:
        """Carry `state`, cut off from what computed it."""
        self.state = map_state(Tensor.detach, state)

    def tensors(self) -> dict[str, Tensor]:
        """The state by name, as ``0.memory`` of the first block."""
        return {
            f"{number}.{field}": x
            for number, block in enumerate(self.state)
            for field, x in zip(block._fields, block, strict=True)
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Carry what :meth:`tensors` gave.

        Raises: HmlcoreError where names or shapes are not those of this model and number of rows.
        """
        wanted = self.tensors()
        shapes = [{name: tuple(x.shape) for name, x in found.items()} for found in (tensors, wanted)]
        if shapes[0] != shapes[1]:
            raise HmlcoreError(f"the carried state has the shapes {shapes[0]}, the run needs {shapes[1]}")
        kept = (tensors[name] for name in wanted)
        self.state = map_state(lambda x: next(kept).to(x.device), self.state)


def _where(fresh: Tensor, empty: Tensor, kept: Tensor) -> Tensor:
    chosen = fresh.view(-1, *[1] * (kept.ndim - 1))
    return torch.where(chosen, empty.to(kept.dtype), kept)


def _check_rows(fresh: Tensor, rows: int) -> None:
    require(
        fresh.shape == (rows,),
        f"batch_size = {rows}, but a batch that goes on has fresh of shape {tuple(fresh.shape)}: "
        "carried memory needs the same rows in every batch",
    )
