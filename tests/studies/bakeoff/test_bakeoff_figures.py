"""The bake-off's figure and tables: every seed, the best on top, what is not equal."""

import pytest
from made_up_results import RACES, VARIANTS, loaded

from hmlcore.studies.bakeoff.claims import seed_scores, standings
from hmlcore.studies.bakeoff.figures import bakeoff_models, bakeoff_scores, bakeoff_table, robustness


@pytest.fixture(scope="module")
def results(made_up_store):
    return loaded(made_up_store, "bakeoff")


@pytest.fixture(scope="module")
def fig(results):
    return bakeoff_scores(results)


def test_a_panel_a_task_and_the_best_on_top(results, fig):
    titles = [note.text for note in fig.layout.annotations if note.name != "stamp"]
    assert titles == [
        "modular sums", "needle", "overwrite", "recall", "text (bits per byte)", "mean rank (less is better)",
    ]  # fmt: skip
    order = list(standings(results).index)
    assert list(fig.layout.yaxis.ticktext)[::-1] == order and order[0] == "delta"


def test_every_seed_is_a_dot_and_bars_are_their_means(results, fig):
    scores = seed_scores(results)
    drawn = sorted(abs(x) for t in fig.data if t.meta == "seeds" for x in t.x)
    assert drawn == pytest.approx(sorted(scores["score"].abs()), abs=1e-4)
    assert len(drawn) == 3 * len(VARIANTS) * len(RACES)
    means = sorted(abs(x) for t in fig.data if t.meta == "mean" for x in t.x)
    wanted = scores.groupby(["task", "variant"])["score"].mean().abs()
    assert means == pytest.approx(sorted(wanted), abs=1e-4)
    (ranks,) = (t for t in fig.data if t.meta == "rank")
    assert sum(ranks.x) == pytest.approx(len(VARIANTS) * (len(VARIANTS) + 1) / 2)
    lines = [t for t in fig.data if t.meta == "reference"]
    assert len(lines) == len(RACES) and all(t.x[0] == t.x[1] for t in lines)


def test_less_is_better_points_the_same_way(fig):
    reversed_axes = [name for name in ("xaxis5", "xaxis6") if fig.layout[name].autorange == "reversed"]
    assert reversed_axes == ["xaxis5", "xaxis6"] and fig.layout.xaxis.autorange != "reversed"


def test_table_has_scores_ranks_and_who_would_win_without_a_seed(results):
    html = bakeoff_table(results).html
    assert html.index("delta + rotation") < html.index("leapfrog + rotation")
    assert "(1)" in html and "mean rank" in html and "Leaving out one seed, delta wins in 3 of 3 cases." in html
    assert robustness(results.where(seed=0)) == "One seed only."


def test_models_table_admits_the_window(results):
    html = bakeoff_models(results).html
    assert html.count("<td>delta</td>") == 2  # synthetic tasks and text
    assert "Memory is equal; the window of the short convolution" in html
