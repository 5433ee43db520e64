"""The explorers' models in one table: what each was shown, and how well it does it."""

import pandas as pd

from hmlcore.figures.style import mixer_style
from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.text import bytes_text
from hmlcore.studies.explorers import STUDY
from hmlcore.studies.kit.figure import TableOf


def explorer_models(results: ResultSet) -> Table:
    """A row a model: its size, and the accuracy on its worst and its best kind of test."""
    rows = results.metric("accuracy", split="test")
    lines = []
    for (task, variant), part in rows.groupby(["task", "variant"], sort=False):
        lines.append(
            {
                "model": variant, "mixer": mixer_style(part["mixer"].iloc[0]).label, "task": task,
                "parameters": int(part["parameters"].iloc[0]),
                "state": bytes_text(part["state_bytes"].max()),
                "steps": int(part["steps"].iloc[0]),
                "accuracy, least": f"{part['value'].min():.3f}",
                "accuracy, most": f"{part['value'].max():.3f}",
            }
        )  # fmt: skip
    note = f"{results.stamp()} · over the kinds of test a model was trained for; of text, the next byte"
    caption = "The models that the explorers open; one seed each, made to be looked into, not compared."
    return render(pd.DataFrame(lines), note=note, caption=caption)


TABLES = {"explorer_models": TableOf(STUDY.experiments[0].name, explorer_models)}
