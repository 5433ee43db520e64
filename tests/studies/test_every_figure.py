"""What holds of every figure, and what each one shows."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from made_up_results import (
    MIXERS,
    PAIRS,
    ablation_run,
    bakeoff_run,
    book_run,
    bytes_run,
    controlled_run,
    copy_run,
    fill,
    frontier_run,
    gradient_run,
    listops_run,
    loaded,
    needle_run,
    op_run,
    physics_run,
    prose_run,
    recall_run,
    review_run,
    speed_run,
)

from hmlcore.errors import HmlcoreError
from hmlcore.figures.style import MIXERS as STYLES
from hmlcore.figures.style import OPS, mixer_style
from hmlcore.results import ResultSet, Run, Store
from hmlcore.results.tuning import tuned
from hmlcore.studies.bytes.figures import bytes_by_context, bytes_position, learning_curves
from hmlcore.studies.copy.figures import copy_curves, copy_heatmaps
from hmlcore.studies.kit.figure import FIGURES, TABLES, draw
from hmlcore.studies.lra.listops import listops_by_length
from hmlcore.studies.lra.text import text_by_length
from hmlcore.studies.recall.figures import recall_curves, recall_frontier

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
}
NAMES = [case[0].__name__ for case in DOTTED]


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
def test_stamped_repeatable_small_transparent_and_without_template(made_up_store, name):
    fig, source = FIGURES[name].draw(made_up_store, "laptop")
    assert isinstance(source, pd.DataFrame if FIGURES[name].traced else ResultSet)
    assert FIGURES[name].function_name.startswith("hmlcore.figures.")
    (stamp,) = stamps(fig)
    seeds = "1 seed" if FIGURES[name].traced else "3 seeds"
    assert stamp.startswith(f"laptop profile · CPU · {seeds}")
    text = fig.to_json()
    assert text == draw(name, made_up_store, "laptop").to_json()
    assert len(text) < 400_000
    assert len(json.dumps(json.loads(text)["layout"].get("template", {}))) < 100
    assert fig.layout.paper_bgcolor == fig.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert FIGURES[name].caption.endswith(".")


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


@pytest.mark.parametrize("name", [n for n, f in FIGURES.items() if not f.traced])
def test_mixed_profiles_are_refused(tmp_path, name):
    store, experiment = Store(tmp_path), FIGURES[name].experiment
    make = MAKE[experiment]
    frames = []
    for profile in ("laptop", "full"):
        store.write(make("hml", 0, profile=profile))
        frames.append(store.load(profile, experiment).frame)
    with pytest.raises(HmlcoreError, match="refusing to mix results of several profiles"):
        FIGURES[name].function(ResultSet(pd.concat(frames)))


def test_missing_and_unknown_figures(tmp_path):
    with pytest.raises(HmlcoreError, match="hml run recall --profile full"):
        draw("recall_curves", Store(tmp_path), "full")
    with pytest.raises(HmlcoreError, match="unknown figure 'pie'; known: ablations, bakeoff_scores, bytes_by"):
        draw("pie", Store(tmp_path), "full")


def test_hover_gives_seed_interval_rate_and_width(made_up_store):
    fig = recall_frontier(loaded(made_up_store, "recall"))
    text = next(t for t in fig.data if t.name == "HML" and t.meta == "seeds").text[0]
    assert "<b>HML</b> seed 0" in text and "Wilson 95 %:" in text and "n = 2,048" in text
    assert "lr 0.003, width 16, state 1 KiB" in text
    mean = next(t for t in fig.data if t.name == "HML" and t.meta == "mean").text[0]
    assert "mean of 3" in mean and "no interval below 5 seeds" in mean


def test_frontier_slider_shows_one_number_of_pairs_at_a_time(made_up_store):
    results = loaded(made_up_store, "recall")
    fig = recall_frontier(results)
    (slider,) = fig.layout.sliders
    assert [step.label for step in slider.steps] == [str(n) for n in PAIRS]
    assert slider.active == 2  # the middle, whatever the results
    assert [t.visible for t in fig.data] == list(slider.steps[2].args[0]["visible"])
    for step, pairs in zip(slider.steps, PAIRS, strict=True):
        shown = [t for t, on in zip(fig.data, step.args[0]["visible"], strict=True) if on]
        rows = tuned(results).metric("accuracy", pairs=pairs)
        values = sorted(round(y, 4) for t in shown if t.meta == "seeds" for y in t.y)
        assert values == pytest.approx(sorted(rows["value"]), abs=1e-4)
    assert (
        slider.steps[-1].args[1]["yaxis.title.text"]
        == "accuracy, 64 pairs in 256 tokens (more than trained on)"
    )


def test_heatmap_means_outline_and_hover(made_up_store):
    results = loaded(made_up_store, "copy")
    fig = copy_heatmaps(results)
    first = fig.data[0]
    rows = results.metric("exact", mixer="hml", payload=8, delay=64)
    at = list(first.y).index("8"), list(first.x).index("64")
    assert first.z[at[0]][at[1]] == pytest.approx(rows["value"].mean(), abs=1e-4)
    hover = first.hovertext[at[0]][at[1]]
    assert all(f"seed {seed}: " in hover for seed in range(3)) and "n = 512 each" in hover
    # Trained on payloads 2, 4, 8 and delays 8, 16, 32: the first three rows and columns.
    boxes = {(s.x0, s.x1, s.y0, s.y1) for s in fig.layout.shapes}
    assert boxes == {(-0.5, 2.5, -0.5, 2.5)} and len(fig.layout.shapes) == 2 * len(MIXERS)
    exact, symbols = (list(button.args[0]["visible"]) for button in fig.layout.updatemenus[0].buttons)
    assert exact == [True] * 3 + [False] * 3 == [t.visible for t in fig.data] and symbols == exact[::-1]


def test_untrained_payload_is_named(made_up_store):
    titles = [note.text for note in copy_curves(loaded(made_up_store, "copy")).layout.annotations]
    assert "payload 8" in titles and "payload 16 (not trained on)" in titles


def test_learning_curves_have_a_line_a_seed_and_a_panel_a_width(made_up_store):
    fig = learning_curves(loaded(made_up_store, "recall"))
    assert len(fig.data) == 3 * 3 * 3  # mixers, seeds, widths
    assert sum(bool(trace.showlegend) for trace in fig.data) == 3
    assert {"width 16", "width 32", "width 64"} <= {note.text for note in fig.layout.annotations}


@pytest.mark.parametrize("function", [recall_curves, learning_curves])
def test_legend_lists_each_mixer_once_also_where_the_first_panel_lacks_it(tmp_path, function):
    store = Store(tmp_path)
    store.write(recall_run("hml", 0, d_model=32))
    store.write(recall_run("hml", 0, d_model=64))
    store.write(recall_run("gru", 0, d_model=64))
    fig = function(loaded(store, "recall"))
    assert sorted(t.name for t in fig.data if t.name and t.showlegend) == ["GRU", "HML"]


def test_corpora_have_panels(tmp_path):
    store = Store(tmp_path)
    run = bytes_run("hml", 0)
    store.write(run)
    rows = [{**row, **({"corpus": "pg19"} if "corpus" in row else {})} for row in run.rows]
    store.write(
        Run({**run.spec, "train": [{"task": "bytes", "corpus": "pg19", "length": 256}]}, run.provenance, rows)
    )
    for function in (bytes_by_context, bytes_position, learning_curves):
        fig = function(loaded(store, "bytes"))
        assert {"pg19", "stdlib"} <= {note.text for note in fig.layout.annotations}, function
        assert len([t for t in fig.data if t.meta == "seeds"]) == 2


def test_mixer_styles_are_distinct_and_steady():
    # More mixers than colors that everyone can tell apart: related ones share a color, never a sign or line.
    for part in ("label", "symbol"):
        assert len({getattr(style, part) for style in STYLES.values()}) == len(STYLES)
    assert len({(style.color, style.dash) for style in STYLES.values()}) == len(STYLES)
    assert set(MIXERS) <= set(STYLES)
    spare = mixer_style("retention")
    assert spare == mixer_style("retention") and spare.label == "retention"
    assert spare.color not in {style.color for style in STYLES.values()}
    ops = OPS.values()
    assert all(len({getattr(style, part) for style in ops}) == len(ops) for part in ("label", "symbol"))
    assert len({(style.color, style.dash) for style in ops}) == len(ops)


# Not sys.modules["torch"] = None: SciPy looks there, and takes any entry for the real thing.
_NO_TORCH = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError("torch is blocked")
sys.meta_path.insert(0, Block())
"""


def test_figures_need_no_torch(tmp_path):
    fill(Store(tmp_path), seeds=1)
    code = _NO_TORCH + (
        "import pkgutil, importlib\n"
        "import hmlcore.figures, hmlcore.results\n"
        "for package in (hmlcore.figures, hmlcore.results):\n"
        "    for module in pkgutil.iter_modules(package.__path__):\n"
        "        importlib.import_module(f'{package.__name__}.{module.name}')\n"
        "from hmlcore.studies.export import export_all\n"
        f"store = hmlcore.results.Store({str(tmp_path)!r})\n"
        "print(len(export_all(store, 'laptop', images=False).files))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 2 * len(FIGURES) + 2 * len(TABLES) + 2


def test_block_of_torch_is_real():
    done = subprocess.run([sys.executable, "-c", _NO_TORCH + "import torch"], capture_output=True, text=True)
    assert done.returncode == 1 and "torch is blocked" in done.stderr
