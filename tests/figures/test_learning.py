"""Learning curves: a line a seed, a panel a kind of run, each mixer listed once."""

from made_up_results import MIXERS, loaded, recall_run

from hmlcore.figures.learning import learning_curves
from hmlcore.results import Store


def store_of(folder, runs) -> Store:
    store = Store(folder)
    for run in runs:
        store.write(run)
    return store


def test_learning_curves_have_a_line_a_seed_and_a_panel_a_width(tmp_path):
    every = [(mixer, seed, width) for mixer in MIXERS for seed in range(3) for width in (16, 32, 64)]
    runs = [recall_run(*one, lr=lr) for one in every for lr in (0.003, 0.01)]
    fig = learning_curves(loaded(store_of(tmp_path, runs), "recall"))
    assert len(fig.data) == 3 * 3 * 3  # mixers, seeds, widths, each at one rate
    assert sum(bool(trace.showlegend) for trace in fig.data) == 3
    assert {"width 16", "width 32", "width 64"} <= {note.text for note in fig.layout.annotations}


def test_legend_lists_each_mixer_once_also_where_the_first_panel_lacks_it(tmp_path):
    runs = [recall_run("hml", 0, 32), recall_run("hml", 0, 64), recall_run("gru", 0, 64)]
    fig = learning_curves(loaded(store_of(tmp_path, runs), "recall"))
    assert sorted(t.name for t in fig.data if t.name and t.showlegend) == ["GRU", "HML"]
