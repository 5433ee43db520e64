"""What a profile would cost on a GPU: its grids' operations, at speeds whose ratios were measured. No torch.

    hours of a run = operations / (peak · utilisation · r) / 3600

r is how many operations a second the mixer's stored trainings reached, over those of attention in the same
experiment: the median over experiments. Peak and utilisation, that of attention, are assumptions, and
arguments; where trainings on a GPU are stored, what attention reached there takes the place of both unless one
is given.

    memory of a run = what every mixer needs + bytes a channel · tokens of a batch · width · layers

with the bytes that the speed study measured for one layer, forward and backward, in fp32.
"""

from collections.abc import Iterable
from typing import NamedTuple

from hmlcore.checks import check_optional, check_positive
from hmlcore.errors import require
from hmlcore.results import Store
from hmlcore.results.text import bytes_text
from hmlcore.runner.demand import Demand, demands
from hmlcore.runner.ratios import Ratios, ratios
from hmlcore.studies import experiments

TFLOPS, UTILISATION = 989.0, 0.05
"""Assumed where nothing else is known: dense bf16 of an H100 by its data sheet, and a twentieth of it in
training, since the models are small."""


class Line(NamedTuple):
    """An experiment, or all: runs, fewest and most tokens a run trains on, operations, hours of one GPU, and
    bytes of the largest run."""

    experiment: str
    runs: int
    tokens: tuple[int, int]
    flops: float
    hours: float
    memory: float


class Plan(NamedTuple):
    """A line an experiment and one for all; what is assumed, and what was left out."""

    lines: list[Line]
    note: str

    def rows(self) -> list[dict[str, str]]:
        """For readers: column → text."""
        return [
            {
                "experiment": x.experiment, "runs": f"{x.runs:,}", "tokens a run": _range(x.tokens),
                "operations": f"{x.flops:.2g}", "GPU-hours": _hours(x.hours),
                "memory": bytes_text(round(x.memory)),
            }
            for x in self.lines
        ]  # fmt: skip

    def text(self) -> str:
        """For a terminal."""
        rows = self.rows()
        table = [list(rows[0]), *(list(row.values()) for row in rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        aligned = (
            "  ".join(f"{word:<{w}}" if i == 0 else f"{word:>{w}}" for i, (word, w) in enumerate(line))
            for line in (list(zip(words, widths, strict=True)) for words in table)
        )
        return "\n".join([*aligned, self.note])

    def html(self) -> str:
        """For a page."""
        import pandas as pd  # here, as only pages need them

        from hmlcore.figures.tables import render

        return render(pd.DataFrame(self.rows()), note=self.note).html


def plan(
    store: Store,
    profile: str,
    names: Iterable[str] | None = None,
    tflops: float | None = None,
    utilisation: float | None = None,
) -> Plan:
    """What the named experiments, all if None, would cost at `profile`.

    Args: tflops, 10¹² operations a second that the GPU can do; utilisation, the part of it that training a
        model with attention reaches, above 0 and at most 1.
    Raises: HmlcoreError where the store has no training of attention, to which speeds are relative.
    """
    check_optional("--tflops", tflops, check_positive)
    check_optional("--utilisation", utilisation, check_positive, 1.0)
    known, asked = ratios(store), demands(profile)
    names = list(experiments() if names is None else names)
    if known.reached is None or tflops is not None or utilisation is not None:
        peak, part = tflops or TFLOPS, utilisation or UTILISATION
        rate, how = 1e12 * peak * part, f"assumed: {part:.3g} of {peak:g} TFLOP/s in training attention"
    else:
        rate, how = known.reached, f"measured: {known.reached / 1e12:.3g} TFLOP/s in training attention"
        how += f" on {known.device}"
    lines = [_line(name, asked[name], known, rate) for name in names if name in asked]
    require(
        len(lines) > 0, f"nothing of {', '.join(names)} is trained: what it costs is known once it is measured"
    )
    every = [d for name in names for d in asked.get(name, ())]
    strange = sorted({d.mixer for d in every} - known.speed.keys())
    note = f"{profile} profile, at most: training that may end early is counted whole · {how}"
    if strange:
        note += f" · not measured, taken as the slowest: {', '.join(strange)}"
    if others := [name for name in names if name not in asked]:
        note += f" · not trained, so not counted: {', '.join(others)}"
    return Plan([*lines, _line("all", every, known, rate)] if len(lines) > 1 else lines, note)


def _line(name: str, asked: list[Demand], known: Ratios, rate: float) -> Line:
    slowest, largest = min(known.speed.values()), max(known.memory.values(), default=0.0)
    seconds = sum(d.runs * d.flops / (rate * known.speed.get(d.mixer, slowest)) for d in asked)
    memory = max(d.fixed_bytes + d.channels * known.memory.get(d.mixer, largest) for d in asked)
    tokens = min(d.tokens for d in asked), max(d.tokens for d in asked)
    return Line(
        name, sum(d.runs for d in asked), tokens, sum(d.runs * d.flops for d in asked), seconds / 3600, memory
    )


def _range(tokens: tuple[int, int]) -> str:
    low, high = (f"{count / 1e6:,.0f} M" if count >= 1e8 else f"{count / 1e6:.2g} M" for count in tokens)
    return low if low == high else f"{low} to {high}"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
