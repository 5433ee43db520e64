"""What a model behind the interface of transformers remembers between two calls."""

from torch import Tensor
from transformers.cache_utils import Cache

from hmlcore.errors import HmlcoreError, require
from hmlcore.models.backbone import map_state
from hmlcore.models.padding import select


class HmlCache(Cache):
    """The memory of a batch after `seen` tokens: `states`, one mixer state per block, and the next `positions`.

    It is good for one call: what goes on from it is returned, and a second use is refused. Tokens that were
    read cannot be taken out of a state, so a memory that changed in place would give the second use another
    answer without a word. ``copy.deepcopy`` gives each of several continuations a memory of its own.

    Beams are followed by reordering. No crop, no assisted generation.
    """

    is_compileable: bool = False
    is_croppable: bool = False
    is_initialized: bool = False

    def __init__(self, states: list | None = None, seen: int = 0, positions: Tensor | None = None):
        super().__init__(layers=[])
        self.states, self.seen, self.positions, self.used = states, seen, positions, False

    def __deepcopy__(self, memo: dict) -> "HmlCache":
        self.check()
        states = None if self.states is None else map_state(Tensor.clone, self.states)
        return HmlCache(states, self.seen, None if self.positions is None else self.positions.clone())

    def check(self) -> None:
        """Refuse what an earlier call went on from."""
        require(
            not self.used,
            "past_key_values was used by an earlier call; go on from the past_key_values that it returned, or "
            "give each use its own copy.deepcopy",
        )

    def followed_by(self, states: list, tokens: int, positions: Tensor) -> "HmlCache":
        """The memory `tokens` later; this one is used."""
        self.check()
        self.states, self.used = None, True
        return HmlCache(states, self.seen + tokens, positions)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens read so far, padding included."""
        return self.seen

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """−1: there is no longest sequence."""
        return -1

    @property
    def batch_size(self) -> int:
        """Sequences, −1 before the first call."""
        return -1 if self.positions is None else len(self.positions)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Sequence i goes on from what was sequence beam_idx[i]."""
        self.check()
        if self.states is not None and self.positions is not None:
            self.states = select(self.states, beam_idx)
            self.positions = self.positions.index_select(0, beam_idx.to(self.positions.device))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the sequences `indices`."""
        self.reorder_cache(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each sequence `repeats` times."""
        if self.positions is not None:
            rows = self.positions.new_ones(self.batch_size).cumsum(0) - 1
            self.reorder_cache(rows.repeat_interleave(repeats))

    def reset(self) -> None:
        """Forget everything."""
        self.__init__()

    def crop(self, tokens_to_remove: int) -> None:
        """Refused, except for 0: what was read cannot be taken out of a state."""
        require(tokens_to_remove == 0, f"a cache of states cannot take back {tokens_to_remove} tokens")


def check_input(tokens: Tensor | None, cache: object) -> None:
    """Refuse input_ids that are not [B, T], and a cache that is none of ours or of another batch."""
    if tokens is None or tokens.ndim != 2:
        shape = None if tokens is None else tuple(tokens.shape)
        raise HmlcoreError(f"input_ids must be [B, T], got {shape}")
    if cache is None:
        return
    if not isinstance(cache, HmlCache):
        raise HmlcoreError(f"past_key_values must be an HmlCache, got {type(cache).__name__}")
    cache.check()
    held = cache.batch_size
    require(
        held in (-1, len(tokens)),
        f"past_key_values holds {held} sequences, and input_ids has {len(tokens)}",
    )
