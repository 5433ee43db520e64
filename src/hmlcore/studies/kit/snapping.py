"""Rotors after training: snapped where validation says so, and everything scored again."""

from hmlcore.evaluation.metrics import Scores, evaluate
from hmlcore.evaluation.snapping import choose_lattices
from hmlcore.models import Backbone
from hmlcore.studies.kit.comparison import task_from


def snapped_rows(model: Backbone, spec: dict) -> list[dict]:
    """The lattice of every rotor, and accuracy_snapped and bits_snapped of every evaluation.

    ``spec["snapping"]`` has the lattices that are tried and `on`, the entry of validation data that decides, by
    cross-entropy. The model is left as it was chosen; one without rotors scores what it scored.
    """
    device = next(model.parameters()).device

    def scores(entry: dict) -> Scores:
        task, sizes = task_from(entry), (entry["examples"], entry["batch_size"])
        found = evaluate(model, task, entry["split"], *sizes, device)
        assert isinstance(found, Scores)  # rotors are asked for on tasks of tokens
        return found

    snapping = spec["snapping"]
    chosen = choose_lattices(model, snapping["lattices"], lambda: scores(snapping["on"]).bits_per_token)
    rows = [{"metric": "lattice", "split": "validation", "rotor": i, "value": x} for i, x in enumerate(chosen)]
    for entry in spec["evaluate"]:
        found, task = scores(entry), task_from(entry)
        here = {**task.conditions(), "length": task.length, "split": entry["split"], "n": found.tokens}
        rows.append(here | {"metric": "accuracy_snapped", "value": found.accuracy})
        rows.append(here | {"metric": "bits_snapped", "value": found.bits_per_token})
    return rows
