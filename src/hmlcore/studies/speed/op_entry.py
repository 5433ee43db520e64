"""One candidate of ``op_speed`` while it is measured: its rows, and whether it can go on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from tqdm import tqdm

from hmlcore.evaluation import op_timing as ops
from hmlcore.evaluation import speed


class Unable(Exception):
    """Why a candidate cannot go on."""


@dataclass
class Entry:
    """One candidate on its way through the lengths: its rows, the seconds its passes took, why it stopped."""

    spec: dict
    op: ops.Candidate
    sizes: ops.Sizes
    dtype: torch.dtype
    rows: list[dict] = field(default_factory=list)
    passes: list[tuple[int, float]] = field(default_factory=list)
    tokens_per_s: float = 0.0
    wall_s: float = 0.0
    stopped: bool = False

    def add(self, length: int, path: str, **row) -> None:
        """A row of results at `length`."""
        self.rows.append(row | self.costs(length) | {"length": length, "path": path})

    def costs(self, length: int) -> dict:
        """What the op's sizes say, whatever runs."""
        return {
            "state_floats": self.op.state_floats(self.sizes, length),
            "state_bytes": self.op.state_bytes(self.sizes, length, self.dtype),
            "flops_per_token": self.op.flops_per_token(self.sizes, length),
        }

    def expected(self, tokens: int) -> float:
        """Seconds of a pass over `tokens`: growing with them as before, linearly if that is not known."""
        if not self.passes:
            return 0.0
        (n, last), growth = self.passes[-1], 1.0
        if len(self.passes) > 1:
            m, before = self.passes[-2]
            growth = max(1.0, (last / n) / (before / m))  # of the time a token takes
        return last / n * growth * tokens

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Raise :class:`Unable` for want of memory and for whatever another package raises: they stop one
        candidate. Errors of our own stop all."""
        try:
            with speed.out_of_memory_as(Unable):
                yield
        except Unable:
            raise
        except Exception as error:
            if not self.op.path:
                raise
            raise Unable(f"{type(error).__name__}: {str(error)[:200]}") from error

    def leave(self, why: str, bar: tqdm) -> None:
        """Train no more, and say so."""
        self.stopped = True
        self.say(why, bar)

    def say(self, text: str, bar: tqdm) -> None:
        """A notice beside the progress bar."""
        bar.write(f"op_speed: {self.spec['mixer']}: {text}", file=sys.stderr)
