"""What transformers may pass to a model's call: what is known, what is refused, and how it must look."""

import difflib
import inspect
from dataclasses import fields
from typing import Any

from torch import Tensor, nn

from hmlcore.checks import check_arguments
from hmlcore.errors import HmlcoreError, require, unknown
from hmlcore.models.backbone import BackboneConfig
from hmlcore.models.sparse import SparseConfig

UNSUPPORTED = ("inputs_embeds", "output_hidden_states", "output_attentions", "output_router_logits")
DOCUMENTS = ("seq_idx", "cu_seq_lens_q", "cu_seq_lens_k")
LOSS = ("num_items_in_batch", "ignore_index", "shift_labels")
KNOWN = (*UNSUPPORTED, *DOCUMENTS, *LOSS, "max_length_q", "max_length_k", "is_causal", "cache_position")


def check_options(model: nn.Module, options: dict) -> None:
    """Refuse what `model` does not know or cannot do, said by a call's keywords or its configuration."""
    name = type(model).__name__
    for option in options:
        if option not in KNOWN:
            known = {*inspect.signature(model.forward).parameters, *KNOWN} - {"options"}
            near = difflib.get_close_matches(option, known, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise HmlcoreError(f"unknown argument {option!r} of {name}; {meant}")
    for option in UNSUPPORTED:
        given = options.get(option, getattr(model.config, option, None))
        require(given is None or given is False, f"{option} is not supported by {name}")
    require(options.get("is_causal") is not False, "is_causal must be True, got False: memories read forwards")


def check_fields(config: Any, options: dict, own: list[str]) -> None:
    """Refuse fields of a configuration that are nearly called as one of its `own`; others are transformers' or
    the user's, and kept."""
    for option in set(options) - set(config.attribute_map):
        if near := difflib.get_close_matches(option, own, 1, 0.7):
            raise HmlcoreError(
                f"unknown field {option!r} of {type(config).__name__}; did you mean {near[0]!r}?"
            )


def check_sparse(name: str, values: object) -> dict[str, Any]:
    """Fields that a :class:`~hmlcore.models.SparseConfig` has beside those of a backbone, and no others."""
    given = check_arguments(name, values)
    known = {x.name for x in fields(SparseConfig)} - {x.name for x in fields(BackboneConfig)}
    for field in given:
        if field not in known:
            raise unknown(f"field in {name}", field, known)
    return given


def check_labels(tokens: Tensor, logits_to_keep: int | Tensor, **given: Tensor | None) -> None:
    """Refuse labels that are not one for each of tokens [B, T], or of logits that are not kept."""
    for name, labels in given.items():
        if labels is not None:
            require(
                labels.shape == tokens.shape,
                f"{name} must be of the shape of input_ids, {tuple(tokens.shape)}, got {tuple(labels.shape)}",
            )
            whole = isinstance(logits_to_keep, int) and logits_to_keep == 0
            require(whole, f"logits_to_keep must be 0 with {name}, got {logits_to_keep}")


def check_place(tokens: Tensor, seen: int, cache_position: Tensor | None) -> None:
    """Refuse places [T] of tokens [B, T] other than those behind the `seen` ones."""
    if cache_position is not None:
        end, found = seen + tokens.shape[1], cache_position.tolist()
        require(found == list(range(seen, end)), f"cache_position must be {seen} … {end - 1}, got {found}")


def counted_tokens(tokens: Tensor, seen: int, attention_mask: Tensor | None) -> Tensor | None:
    """[B, T], false for padding; None where there is none.

    Raises: HmlcoreError for a mask that is not [B, T] or [B, seen + T], or holds more than 0 and 1.
    """
    if attention_mask is None:
        return None
    batch, length = tokens.shape
    require(
        attention_mask.shape in (tokens.shape, (batch, seen + length)),
        f"attention_mask must be [B, {seen + length}], got {tuple(attention_mask.shape)}",
    )
    mask = attention_mask[:, -length:]
    if bool((mask == 1).all()):
        return None
    other = mask[(mask != 0) & (mask != 1)]
    require(len(other) == 0, f"attention_mask must be 0 or 1, got {other[:1].tolist()}")
    return mask == 1
