"""The figure of the ablations: differences of the same seed, and the runs behind them."""

import pytest
from made_up_results import ABLATED, ablation_run, loaded

from hmlcore.errors import HmlcoreError
from hmlcore.results import Store
from hmlcore.studies.ablation.figures import ablations


def of_kind(fig, kind):
    return [trace for trace in fig.data if trace.meta == kind]


def test_ablations_are_paired_by_seed(made_up_store):
    results = loaded(made_up_store, "synthetic_ablation")
    fig = ablations(results)
    rows = results.metric("accuracy")
    seeds = rows.groupby(["task", "variant", "seed"])["value"].mean()
    wanted = [v - seeds[t, "base", s] for (t, variant, s), v in seeds.items() if variant != "base"]
    drawn = [x for t in of_kind(fig, "seeds") for x in t.x]
    assert sorted(drawn) == pytest.approx(sorted(wanted), abs=1e-4)
    assert list(fig.layout.yaxis.ticktext)[-1] == "A1  undamped" and len(fig.layout.yaxis.ticktext) == 6
    assert len(ABLATED) == 7


def test_hover_texts_name_the_runs_behind_them(made_up_store):
    results = loaded(made_up_store, "synthetic_ablation")
    runs = results.metric("accuracy").groupby("variant")["spec_hash"].unique()
    own = {f"hml show {run[:8]}" for variant, names in runs.items() if variant != "base" for run in names}
    base = {f"base: hml show {run[:8]}" for run in runs["base"]}
    lines = {
        line for t in of_kind(ablations(results), "seeds") for text in t.text for line in text.split("<br>")
    }
    assert own and own <= lines and {line for line in lines if line.startswith("base")} == base


def test_ablations_without_a_base_are_refused(tmp_path):
    store = Store(tmp_path)
    store.write(ablation_run("hml", 0, "Euler"))
    with pytest.raises(HmlcoreError, match="no results of the variant 'base'"):
        ablations(loaded(store, "synthetic_ablation"))


@pytest.mark.parametrize("run", [ablation_run("hml", 4, "base")])
def test_one_run_is_enough(tmp_path, run):
    store = Store(tmp_path)
    store.write(run)
    results = loaded(store, run.spec["experiment"])
    for function in (ablations,):
        assert function(results) is not None
