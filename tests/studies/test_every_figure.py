"""What holds of every figure, and what each one shows."""

import importlib
import json
import subprocess
import sys
from functools import partial

import pandas as pd
import pytest
from made_up_results import (
    OPS,
    ablation_run,
    bakeoff_run,
    book_run,
    bound_portrait_run,
    bytes_run,
    controlled_run,
    copy_run,
    counting_run,
    explorer_run,
    fair_run,
    fill_holographic,
    fill_sparse,
    frontier_run,
    gradient_run,
    ground_run,
    listops_run,
    loaded,
    needle_run,
    op_run,
    option_run,
    orbit_run,
    physics_run,
    portrait_run,
    potentials_run,
    prose_run,
    recall_run,
    review_run,
    speed_run,
)

from hmlcore.errors import HmlcoreError
from hmlcore.figures.style import mixer_style
from hmlcore.results import ResultSet, Run, Store
from hmlcore.results.tuning import tuned
from hmlcore.studies import experiments, study_of
from hmlcore.studies.bytes.figures import bytes_by_context, bytes_position
from hmlcore.studies.copy.figures import copy_curves
from hmlcore.studies.export import claims, draw, figure_json, figures, tables
from hmlcore.studies.kit.figure import function_name
from hmlcore.studies.lra.listops import listops_by_length
from hmlcore.studies.lra.text import text_by_length
from hmlcore.studies.recall.frontier import recall_curves, recall_frontier

# Figure function, experiment, metric, column on the x axis, conditions of what is drawn.
DOTTED = [
    (copy_curves, "copy", "exact", "delay", {}),
    (recall_frontier, "recall", "accuracy", "state_bytes", {}),
    (recall_curves, "recall", "accuracy", "pairs", {}),
    (bytes_by_context, "bytes", "bits_per_byte", "context", {}),
    (bytes_position, "bytes", "bits_per_byte_at", "position", {"context": 2048}),
    (listops_by_length, "lra_listops", "accuracy", "length", {}),
    (text_by_length, "lra_text", "accuracy", "length", {}),
]
MAKE = {
    "copy": copy_run,
    "recall": recall_run,
    "bytes": bytes_run,
    "lra_listops": listops_run,
    "lra_text": review_run,
    "bakeoff": bakeoff_run,
    "speed": speed_run,
    "op_speed": op_run,
    "physics": physics_run,
    "synthetic_needle": needle_run,
    "synthetic_needle_text": prose_run,
    "synthetic_recall": frontier_run,
    "synthetic_tasks": controlled_run,
    "synthetic_gradient": gradient_run,
    "synthetic_ablation": ablation_run,
    "pg19": book_run,
    "potentials": potentials_run,
    "rotor_counting": counting_run,
    "rotor_counting_again": partial(counting_run, experiment="rotor_counting_again"),
    "ground": ground_run,
    "options": option_run,
    "fair": fair_run,
    "holographic_portrait": bound_portrait_run,
    "fair_tuning": fair_run,
    "explorer-models": explorer_run,
    "portraits": portrait_run,
    "orbit": orbit_run,
}
NAMES = [case[0].__name__ for case in DOTTED]
FIGURES, TABLES = figures(), tables()


def dots(fig, kind="seeds"):
    return sorted(
        (trace.name, round(float(x), 3), round(float(y), 3))
        for trace in fig.data
        if trace.meta == kind
        for x, y in zip(trace.x, trace.y, strict=True)
    )


def stamps(fig):
    return [note.text for note in fig.layout.annotations if note.name == "stamp"]


@pytest.mark.parametrize("name", FIGURES)
def test_stamped_repeatable_small_transparent_and_without_template(made_up_store, exported, name):
    fig, source = FIGURES[name].draw(loaded(made_up_store, FIGURES[name].experiment), made_up_store)
    assert isinstance(source, pd.DataFrame if FIGURES[name].traced else ResultSet)
    (stamp,) = stamps(fig)
    seeds = (
        "3 seeds" if experiments()[FIGURES[name].experiment].trained and not FIGURES[name].traced else "1 seed"
    )
    assert stamp.startswith(f"laptop profile · CPU · {seeds}")
    text = fig.to_json()
    assert figure_json(fig) == (exported / "figures" / f"{name}.json").read_text()  # drawn before
    assert len(text) < 400_000
    assert len(json.dumps(json.loads(text)["layout"].get("template", {}))) < 100
    assert fig.layout.paper_bgcolor == fig.layout.plot_bgcolor == "rgba(0,0,0,0)"


@pytest.mark.parametrize("name", FIGURES | TABLES)
def test_functions_are_named_where_they_lie(name):
    """By a name that imports: what a sidecar says can be looked up. A study draws its own; a kit draws many."""
    product = (FIGURES | TABLES)[name]
    module, _, function = function_name(product).rpartition(".")
    assert getattr(importlib.import_module(module), function) is product.function
    own = f"hmlcore.studies.{study_of(product.experiment).name}."
    assert module.startswith((own, "hmlcore.figures."))


def test_every_experiment_has_a_figure_or_a_table():
    unseen = {"holographic_tuning", "sparse_stream"}  # rates alone; and one number, which its claim tells
    shown = {product.experiment for product in [*FIGURES.values(), *TABLES.values()]}
    assert shown == set(experiments()) - unseen


@pytest.mark.parametrize(("function", "experiment", "metric", "x", "conditions"), DOTTED, ids=NAMES)
def test_every_seed_is_a_dot_and_the_line_is_their_mean(
    made_up_store, function, experiment, metric, x, conditions
):
    results = loaded(made_up_store, experiment)
    fig = function(results)
    rows = tuned(results).metric(metric, **conditions)
    rows = rows.assign(label=[mixer_style(m).label for m in rows["mixer"]])
    assert dots(fig) == sorted(
        (r.label, round(float(getattr(r, x)), 3), round(float(f"{r.value:.5g}"), 3)) for r in rows.itertuples()
    )
    within = [
        "label",
        x,
        *(c for c in ("pairs", "d_model", "payload", "corpus", "direction") if c in rows and c != x),
    ]
    means = rows.groupby(within, as_index=False)["value"].mean()
    assert dots(fig, "mean") == sorted(
        (r.label, round(float(getattr(r, x)), 3), round(float(f"{r.value:.5g}"), 3)) for r in means.itertuples()
    )


@pytest.mark.parametrize(("function", "experiment", "metric", "x", "conditions"), DOTTED, ids=NAMES)
def test_intervals_appear_at_five_seeds_only(tmp_path, function, experiment, metric, x, conditions):
    make = MAKE[experiment]
    for seeds, expected in ((4, False), (5, True)):
        store = Store(tmp_path / str(seeds))
        for seed in range(seeds):
            store.write(make("hml", seed))
        means = [t for t in function(loaded(store, experiment)).data if t.meta == "mean"]
        assert len(means) > 0
        assert all((t.error_y.array is not None) == expected for t in means)


# Whole memories, all experiments of which are made together.
FILL = {"holographic": fill_holographic, "sparse": fill_sparse}


@pytest.mark.parametrize("name", [n for n, f in FIGURES.items() if not f.traced])
def test_mixed_profiles_are_refused(tmp_path, name):
    store, experiment = Store(tmp_path), FIGURES[name].experiment
    frames = []
    for profile in ("laptop", "full"):
        if experiment in MAKE:
            store.write(MAKE[experiment]("hml", 0, profile=profile))
        else:
            FILL[experiment.split("_")[0]](store, profile=profile)
        frames.append(loaded(store, experiment, profile).frame)
    with pytest.raises(HmlcoreError, match="refusing to mix results of several profiles"):
        FIGURES[name].function(ResultSet(pd.concat(frames)))


def test_missing_and_unknown_figures(tmp_path):
    with pytest.raises(HmlcoreError, match="hml run recall --profile full"):
        draw("recall_curves", Store(tmp_path), "full")
    with pytest.raises(HmlcoreError, match="unknown figure 'pie'; known: ablations, answer_chances, bake"):
        draw("pie", Store(tmp_path), "full")


@pytest.mark.parametrize("name", [n for n, f in FIGURES.items() if f.traced])
def test_without_traces_a_traced_figure_is_refused(tmp_path, name):
    store, experiment = Store(tmp_path), FIGURES[name].experiment
    run = MAKE[experiment]("hml", 1)
    store.write(Run(run.spec, run.provenance, run.rows))
    with pytest.raises(HmlcoreError, match="trace"):
        draw(name, store, "laptop")


# Not sys.modules["torch"] = None: SciPy looks there, and takes any entry for the real thing.
_NO_TORCH = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError("torch is blocked")
sys.meta_path.insert(0, Block())
"""


def test_figures_and_claims_need_no_torch(tmp_path):
    """Everything of every study but its grid, of the kit, the figures and the results; and all exported."""
    store = Store(tmp_path)
    for make in MAKE.values():
        store.write(make(OPS[0] if make is op_run else "hml", 0))
    code = _NO_TORCH + (
        "import pkgutil, importlib\n"
        "import hmlcore.figures, hmlcore.results, hmlcore.studies.kit\n"
        "for package in (hmlcore.figures, hmlcore.results, hmlcore.studies.kit):\n"
        "    for module in pkgutil.iter_modules(package.__path__):\n"
        "        if module.name not in ('comparison', 'families', 'floor', 'snapping'):\n"
        "            importlib.import_module(f'{package.__name__}.{module.name}')\n"
        "from hmlcore.studies.export import claims, export_all, figures, tables\n"
        f"store = hmlcore.results.Store({str(tmp_path)!r})\n"
        "done = export_all(store, 'laptop', images=False)\n"
        "print(len(figures()), len(tables()), len(claims()), len(done.files), 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *counts, files, torch = done.stdout.split()
    assert list(map(int, counts)) == [len(FIGURES), len(TABLES), len(claims())]
    assert int(files) > len(FIGURES) and torch == "False"


def test_block_of_torch_is_real():
    done = subprocess.run([sys.executable, "-c", _NO_TORCH + "import torch"], capture_output=True, text=True)
    assert done.returncode == 1 and "torch is blocked" in done.stderr
