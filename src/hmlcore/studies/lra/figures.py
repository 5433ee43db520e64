"""The figures and tables of Long Range Arena."""

from hmlcore.figures.tables import models_table
from hmlcore.studies.kit.figure import CROWD, SEEDS, Figure, TableOf
from hmlcore.studies.lra.listops import listops_by_length, listops_learning, listops_ranking, listops_table
from hmlcore.studies.lra.text import text_by_length, text_costs, text_learning, text_scores

FIGURES = {
    "listops_by_length": Figure(
        "lra_listops",
        listops_by_length,
        "ListOps: accuracy against the length below which the expressions stay, causal and bidirectional "
        "models apart. Dotted: the longest length of training; dashed grey: what the most frequent answer "
        f"scores. {SEEDS}",
    ),
    "listops_ranking": Figure(
        "lra_listops",
        listops_ranking,
        "ListOps: accuracy averaged over the lengths named above each panel, the best causal mixer of the "
        "first panel on top. Each dot is a seed, filled for causal models and open for bidirectional ones; "
        "bars are their means. Dashed grey: what the most frequent answer scores.",
    ),
    "listops_learning": Figure(
        "lra_listops", listops_learning, "ListOps: training loss of causal models, one line a seed."
    ),
    "lra_text_by_length": Figure(
        "lra_text",
        text_by_length,
        "Reviews: accuracy against the bytes that are read of each, causal and bidirectional models apart. "
        f"Dotted: the length of training; dashed grey: what the most frequent answer scores. {SEEDS}",
    ),
    "lra_text_learning": Figure(
        "lra_text",
        text_learning,
        "Reviews: accuracy on the batches of training, each scored before it is learned from, against steps; "
        "the mean of the latest fifth of the training and of the seeds, each of which is in the hover text. "
        f"{CROWD}",
    ),
}

TABLES = {
    "lra_listops_models": TableOf("lra_listops", models_table),
    "lra_listops_accuracy": TableOf("lra_listops", listops_table),
    "lra_text_scores": TableOf("lra_text", text_scores),
    "lra_text_costs": TableOf("lra_text", text_costs),
}
