"""The study of the sparse memory: its grids, the laws, what its rules decide, and what is measured for real."""

import json

import pytest
import torch
from made_up_claims import decided
from made_up_results import (
    SPARSE_GATES,
    fill_sparse,
    loaded,
    slots_run,
    sparse_run,
    sparse_speed_run,
    stream_run,
)

from hmlcore.errors import HmlcoreError
from hmlcore.results import Store
from hmlcore.results.tuning import tuned
from hmlcore.runner.model import model_config
from hmlcore.studies.sparse import claims, laws, stream
from hmlcore.studies.sparse.figures import sparse_frontier, sparse_laws
from hmlcore.studies.sparse.grid import PROTOCOLS, UNLEARNED, examine
from hmlcore.studies.sparse.poisson import held_by_law, survival_by_law
from hmlcore.studies.sparse.rungs import RUNGS
from hmlcore.studies.sparse.tables import sparse_ladder, sparse_targets
from hmlcore.tasks.planted import Planted

MIXER = "window_attention"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fill_sparse(Store(tmp_path_factory.mktemp("sparse")), seeds=5)


def recalls(folder, skills, seeds=5, **window):
    store = Store(folder)
    for seed in range(seeds):
        store.write(sparse_run(MIXER, seed, skill=skills))
        store.write(sparse_run(MIXER, seed, "window alone", **window))
    return loaded(store, "sparse_recall")


def asked_at(results, **where):
    rows = claims.asked(tuned(results), distance=524_288, **where)
    return rows["value"].mean()


def test_a_gate_is_above_random_or_is_not(store, tmp_path):
    found = decided(claims.a_gate_beats_random, loaded(store, "sparse_recall"))
    assert found[0] == "confirmed" and found[1].startswith("above random writing: redundancy, surprisal; ahead")
    flat = recalls(tmp_path / "flat", {"random": 0.5, "surprisal": 0.4, "rare": 0.9})
    assert decided(claims.a_gate_beats_random, flat)[0] == "refuted"  # the oracle does not count
    few = recalls(tmp_path / "few", SPARSE_GATES, seeds=3)
    assert decided(claims.a_gate_beats_random, few)[0] == "undecided"


def test_other_rules_of_recall(store, tmp_path):
    results = loaded(store, "sparse_recall")
    assert decided(claims.memory_reaches_beyond_the_window, results)[0] == "confirmed"
    assert decided(claims.the_answer_comes_from_the_memory, results)[0] == "confirmed"
    verdict, said = decided(claims.targets_met, results)
    assert verdict == "refuted" and "best of gates surprisal (everything written)" in said
    assert decided(claims.the_sources_metric_is_near_trivial, results)[0] == "confirmed"
    good = recalls(tmp_path, {"random": 1.4, "surprisal": 12.0})
    assert decided(claims.targets_met, good)[0] == "confirmed"
    assert decided(claims.the_sources_metric_is_near_trivial, good)[0] == "refuted"


def test_targets_one_by_one(tmp_path):
    for skill, expected in ((12.0, "confirmed"), (0.3, "refuted")):
        results = recalls(tmp_path / expected, {"random": 0.1, "surprisal": skill, "rare": 20.0}, seeds=2)
        verdict, said = decided(claims.common_at_the_longest, results)
        assert verdict == expected and "surprisal of everything written" in said
        with pytest.raises(HmlcoreError, match="rows of rare facts at 102,400 tokens, got none"):
            claims.rare_at_a_hundred_thousand(tuned(results))


def test_slots_beside_their_rivals(store, tmp_path):
    verdict, said = decided(claims.better_than_rivals, loaded(store, "sparse_recall"))
    assert verdict == "confirmed" and "slots +" in said and "of HML over 5 seeds" in said
    for alone, expected in ((0.62, "undecided"), (0.9, "refuted")):
        other = Store(tmp_path / expected)
        for seed in range(5):
            other.write(sparse_run(MIXER, seed))
            other.write(sparse_run("hml", seed, "HML", alone=alone))
        assert decided(claims.better_than_rivals, loaded(other, "sparse_recall"))[0] == expected
    with pytest.raises(HmlcoreError, match="recall must have rows of a rival, got none"):
        claims.better_than_rivals(tuned(recalls(tmp_path / "none", SPARSE_GATES)))


def test_rivals_have_as_many_bytes_and_parameters():
    """All but the segments' tokens of memory, which are few; what is compared at `laptop`."""
    specs = [spec for spec in PROTOCOLS["sparse_recall"].grid("laptop") if spec["seed"] == 0]
    configs = {spec["variant"]: model_config(spec, spec["ask"]["vocab"]) for spec in specs}
    models = {variant: config.build() for variant, config in configs.items()}
    counts = [model.parameter_count for model in models.values()]
    assert max(counts) / min(counts) < 1.01
    size = {variant: 4 * model.state_size(4096) for variant, model in models.items()}
    for variant in ("HML", "gated DeltaNet", "Memorizing Transformer"):
        assert abs(size[variant] / size[claims.EVERYTHING] - 1) < 0.05, size
    assert size["RMT"] < size[claims.WINDOW] < size[claims.EVERYTHING]


def test_rules_of_laws_speed_and_ladder(store, tmp_path):
    assert decided(claims.slots_follow_their_laws, loaded(store, "sparse_laws"))[0] == "confirmed"
    off = Store(tmp_path / "off")
    for variant in ("random", "oldest", "collisions"):
        off.write(slots_run("slots", 0, variant, off=0.04 * (variant != "oldest")))
    assert decided(claims.slots_follow_their_laws, loaded(off, "sparse_laws"))[0] == "undecided"
    speed = loaded(store, "sparse_speed")
    assert decided(claims.time_is_flat, speed)[0] == decided(claims.fast_enough, speed)[0] == "confirmed"
    assert "0.71 of the window alone" in decided(claims.fast_enough, speed)[1]
    slow = Store(tmp_path / "slow")
    for variant in ("window alone", "surprisal"):
        slow.write(sparse_speed_run(MIXER, 0, variant, slower=2.5))
    slow = loaded(slow, "sparse_speed")
    assert decided(claims.time_is_flat, slow)[0] == decided(claims.fast_enough, slow)[0] == "refuted"
    assert decided(claims.later_versions_recall_more, loaded(store, "sparse_ladder"))[0] == "confirmed"


def test_constant_memory_is_within_a_twentieth(tmp_path):
    cases = {"confirmed": {"growth": 1.02}, "refuted": {"growth": 1.03}, "undecided": {"state": (9, 9, 10)}}
    for expected, given in cases.items():
        store = Store(tmp_path / expected)
        store.write(stream_run(**given))
        assert decided(claims.memory_is_flat, loaded(store, "sparse_stream"))[0] == expected


def test_a_stream_is_read_and_its_memory_is_told():
    (spec,) = stream.grid("smoke")
    (run,) = stream.side_by_side([spec], torch.device("cpu"))
    held = [row for row in run.rows if row["metric"] == "resident_bytes"]
    assert [row["length"] for row in held] == spec["marks"] and min(row["value"] for row in held) > 2**20
    assert len({row["value"] for row in run.rows if row["metric"] == "state_bytes_held"}) == 1


def test_the_laws_by_hand():
    # One way: a cue is held if it is the first in its bucket, (1 − e^{−λ}) / λ.
    assert held_by_law(2.0, 1) == pytest.approx(0.4323, abs=1e-4)
    assert held_by_law(0.01, 8) == pytest.approx(1.0) and held_by_law(100.0, 8) == pytest.approx(0.01)
    assert survival_by_law(512, 0.5, 32, 8, oldest=False) == pytest.approx(2.718281828**-1)
    # One way, oldest first: gone with the first write to the bucket.
    assert survival_by_law(64, 0.5, 32, 1, oldest=True) == pytest.approx(2.718281828**-1)


def test_slots_are_measured_to_follow_them():
    """The op itself, small: random eviction, oldest first and collisions lie within four standard errors."""
    size = dict(
        laws._SETTINGS["laptop"], streams=8, buckets=16, ways=4, facts=16, deltas=[256, 1024], loads=[1.0]
    )
    specs = [spec | size for spec in laws.grid("laptop")]
    runs = laws.side_by_side(specs, torch.device("cpu"))
    for run in runs:
        for row in run.rows:
            if row["metric"] == "held":
                law = held_by_law(row["load"], 4)
            else:
                law = survival_by_law(row["delta"], 0.12, 16, 4, oldest=run.spec["variant"] == "oldest")
            assert abs(row["value"] - law) < 4 * (law * (1 - law) / row["n"]) ** 0.5 + 0.02, (
                run.spec,
                row,
                law,
            )
    assert len({run.spec["variant"] for run in runs}) == 3


def test_a_model_is_asked_with_every_gate_and_density():
    """One untrained run of `smoke`, everything written: masked, everything, and each gate in its place."""
    from hmlcore.runner.model import build_model
    from hmlcore.studies.kit.comparison import task_from

    (spec,) = [s for s in PROTOCOLS["sparse_recall"].grid("smoke") if s["seed"] == 0
               and s["variant"] == claims.EVERYTHING]  # fmt: skip
    model = build_model(spec, task_from(spec["train"][0]))
    rows = examine(model, None, spec)
    writers = {(row["gate"], row["density"]) for row in rows if row["metric"] == "recall"}
    assert writers == {("masked", 0.0), ("every", 1.0), ("random", 0.12), ("surprisal", 0.12)}
    gated = {row["gate"]: row["value"] for row in rows if row["metric"] == "gated"}
    assert gated["every"] > 0.99 and 0.05 < gated["random"] < 0.25 and 0.05 < gated["surprisal"] < 0.25
    assert {row["gate"] for row in rows if row["metric"] == "control"} == {
        "chance",
        "unigram",
        "echo",
        "oracle",
    }
    assert set(UNLEARNED) >= set(spec["ask"]["gates"])


def test_far_away_every_seed_is_fresh_and_asked_for_facts_of_its_own():
    near = PROTOCOLS["sparse_recall"].grid("laptop")
    far = PROTOCOLS["sparse_far"].grid("laptop")
    assert not {spec["seed"] for spec in near} & {spec["seed"] for spec in far} and len(far) == 5
    longest = near[0]["ask"]["cases"][-1]
    ((case,),) = {json.dumps(spec["ask"]["cases"]): spec["ask"]["cases"] for spec in far}.values()
    assert case["distance"] == longest["distance"] == 524_288 and case["apart"]
    assert min(spec["seed"] for spec in far) * case["rows"] >= longest["rows"]  # rows that nobody was asked yet
    assert case["facts"] * case["rows"] * len(far) >= 1000  # of each kind
    one = next(spec for spec in near if spec["variant"] == claims.EVERYTHING)
    apart = {name for name in one if one[name] != far[0][name]}
    assert apart == {"experiment", "seed", "ask"}


@pytest.mark.parametrize(("apart", "rows"), [(True, [6, 7]), (False, [0, 1])])
def test_which_rows_a_seed_is_asked(monkeypatch, apart, rows):
    asked = []
    questions = Planted.questions
    monkeypatch.setattr(Planted, "questions", lambda *a: asked.append(a[2]) or questions(*a))
    spec = PROTOCOLS["sparse_far"].grid("smoke")[0] | {"seed": 3}
    case = spec["ask"]["cases"][0] | {"gates": ["random"], "densities": [0.5], "apart": apart}
    model = model_config(spec, spec["ask"]["vocab"]).build()
    examine(model, None, spec | {"ask": spec["ask"] | {"cases": [case]}})
    assert asked == 4 * rows  # masked, everything, random, and the controls


def test_rungs_are_named_once_and_configure_a_model():
    names = [rung.name for rung in RUNGS]
    assert len(set(names)) == len(names) and names[0] == "V1" and names[-1] == "V68.4"
    variants = [spec["variant"] for spec in PROTOCOLS["sparse_ladder"].grid("laptop")]
    assert variants[: len(RUNGS)] == names and len(variants) == 3 * len(RUNGS)


def test_what_figures_and_tables_show(store):
    results = loaded(store, "sparse_recall")
    fig = sparse_frontier(results)
    lines = {trace.name for trace in fig.data if trace.meta == "mean"}
    assert lines == {"random", "oracle: rare ids", "surprisal", "read before write"}
    one = next(t for t in fig.data if t.meta == "mean" and t.name == "surprisal")
    rows = claims.frontier(tuned(results))
    rows = rows[(rows["gate"] == "surprisal") & (rows["kind"] == "rare")]
    assert list(one.y) == pytest.approx(list(rows.groupby("density")["value"].mean()), rel=1e-4)
    laws_drawn = sparse_laws(loaded(store, "sparse_laws"))
    assert sum(trace.meta == "law" for trace in laws_drawn.data) == 3
    html = sparse_targets(results).html
    assert "learned salience" in html and "oracle" in html and "524,288 tokens between" in html
    assert "the same facts for every seed" in html
    far = loaded(store, "sparse_far")
    html = sparse_targets(far).html
    at, more = (asked_at(far, gate="surprisal", kind="rare", density=d) for d in (claims.HEADLINE, 0.48))
    assert "facts of its own for every seed" in html
    assert f"{at:.3f} (" in html and f"{more:.3f}" not in html  # of three densities the one
    assert "what the memory did not help to expect" in sparse_ladder(loaded(store, "sparse_ladder")).html
