"""The gate, the scoreboard's verdicts and the claims, driven by made-up scores; and that the grids are fair."""

import itertools
import re

import pytest
import torch
from made_up_results import COMPARED, fair_run, fill_fair, loaded

from hmlcore.errors import HmlcoreError
from hmlcore.layers import build_mixer
from hmlcore.models import Backbone
from hmlcore.results import Store
from hmlcore.results.spec import canonical
from hmlcore.results.tuning import tuned
from hmlcore.runner.model import model_config
from hmlcore.studies import protocol
from hmlcore.studies.fair import GROWING, OPTIONS, RIVALS, ROWS
from hmlcore.studies.fair.claims import CLAIMS, not_worse_in, option_pays
from hmlcore.studies.fair.curves import fair_books, fair_carried, fair_expressions, fair_kept
from hmlcore.studies.fair.families import FAMILIES, FAMILY, GATE_TRIAL, LONG
from hmlcore.studies.fair.figures import fair_scoreboard, fair_strip, fair_tried
from hmlcore.studies.fair.gate import (
    CHANCE,
    at_chance,
    counting_scores,
    is_own,
    reached,
    scores_by_condition,
)
from hmlcore.studies.fair.grid import RATES, SEEDS, cases, chosen, given
from hmlcore.studies.fair.scoreboard import BETTER, NOT_MEASURED, NOT_WORSE, OPEN, WORSE, scoreboard
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.kit.comparison import task_from
from hmlcore.studies.kit.paired import LEVEL, p_above
from hmlcore.studies.kit.study import PROFILES
from hmlcore.studies.kit.tuning import Tuned

TESTED = tuple(FAMILY)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fill_fair(Store(tmp_path_factory.mktemp("fair")), seeds=5)


@pytest.fixture(scope="module")
def results(store):
    return loaded(store, "fair")


def with_skills(tmp_path, skills, seeds=5):
    """HML at .95 everywhere, the row Mamba as `skills` (case → by seed) says, attention at .95 as the gate."""
    store = Store(tmp_path)
    for task in TESTED:
        for seed in range(seeds):
            for row, skill in {"HML": 0.95, "attention": 0.95, "Mamba": skills.get(task, 0.95)}.items():
                here = skill[seed] if isinstance(skill, list) else skill
                store.write(fair_run(ROWS[row], seed, row, task, skill=here - 0.002 * seed))
    return loaded(store, "fair")


def test_rates_differ_from_case_to_case_as_tuning_chose_them(tmp_path, results):
    """Each is the one rate of its row in its case, so that nothing is chosen by scores of the test."""
    store = Store(tmp_path)
    for task, row, seed in itertools.product(TESTED, ROWS, range(2)):
        lr = {"copy": 0.003, "needle": 0.03}.get(task, 0.01)
        store.write(fair_run(ROWS[row], seed, row, task, lr))
    apart = loaded(store, "fair")
    assert set(tuned(apart).hashes) == set(apart.hashes) and len(scoreboard(apart)) == len(scoreboard(results))


def against(table, rival="Mamba"):
    return table[table["rival"] == rival].set_index("family")["verdict"].to_dict()


def test_conditions_of_training_are_told_from_those_beyond(results):
    scores = scores_by_condition(results)
    copied = scores[scores["task"] == "copy"]
    assert copied.groupby("delay")["within"].unique().map(list).to_dict() == {8: [True], 64: [False]}
    assert scores[scores["task"].isin(["expressions", "bytes"])]["within"].all()


def test_a_case_counts_where_another_row_reaches_nine_tenths_or_is_below_the_floor(results):
    gate = reached(results)
    assert set(gate.index) == set(TESTED)
    assert not any(is_own(row) for row in gate["best"])
    assert gate["counts"].to_dict() == {case: case != "sums modulo 5" for case in TESTED}
    assert gate.loc["bytes", "needed"] == pytest.approx(-2.3) and gate.loc["copy", "needed"] == 0.9
    sums = counting_scores(results).query("family == 'sums' and variant == 'HML' and seed == 0")["score"]
    assert list(sums) == pytest.approx([0.97 - 0.15])  # parity, to and beyond training; modulo 5 left out


def test_who_guesses_is_not_beaten(tmp_path):
    results = with_skills(tmp_path, {"recall": 1 / 4 + 0.04, "copy": 0.2})
    assert at_chance(results) == {("recall", "Mamba")}
    assert against(scoreboard(results))["recall"] == NOT_MEASURED
    assert against(scoreboard(results))["copy"] == BETTER


def test_a_family_that_nobody_can_do_decides_nothing(tmp_path):
    store = Store(tmp_path)
    for task, seed, row in itertools.product(TESTED, range(5), ROWS):
        store.write(fair_run(ROWS[row], seed, row, task, skill=0.99 if "HML" in row else 0.6))
    table = scoreboard(loaded(store, "fair"))
    measured = table[table["verdict"] != NOT_MEASURED]
    assert measured.empty and len(table) == len(FAMILIES) * len(RIVALS)
    assert not_worse_in("copy")(loaded(store, "fair"))[0] == UNDECIDED


@pytest.mark.parametrize(
    ("skill", "verdict"),
    [
        (0.8, BETTER), (0.95, NOT_WORSE), (0.96, NOT_WORSE), (1.0, WORSE),
        ([0.6, 1.0, 0.8, 1.0, 1.0], OPEN), ([0.5, 0.95, 0.95, 0.95, 0.95], OPEN),
    ],
)  # fmt: skip
def test_verdicts(tmp_path, skill, verdict):
    assert against(scoreboard(with_skills(tmp_path, {"copy": skill})))["copy"] == verdict


@pytest.mark.parametrize(("bits", "verdict"), [(2.24, NOT_WORSE), (2.2, WORSE), (2.3, BETTER)])
def test_books_are_judged_by_the_share_of_bits(tmp_path, bits, verdict):
    table = scoreboard(with_skills(tmp_path, {"bytes": 3.2 - bits}))
    assert against(table)["books"] == verdict
    effect = table.set_index(["family", "rival"]).loc[("books", "Mamba"), "effect"]
    assert effect == pytest.approx(1 - 2.25 / bits, abs=2e-3)


def test_few_seeds_decide_nothing(tmp_path):
    assert set(against(scoreboard(with_skills(tmp_path, {"copy": 0.5}, seeds=4))).values()) == {OPEN}


def test_more_comparisons_ask_for_more(tmp_path):
    """A difference that is clear alone is not after Holm's correction over all that are made."""
    rival = [0.91, 0.92, 0.93, 0.94, 0.945]
    assert p_above(dict.fromkeys(range(5), 0.95), dict(enumerate(rival))) < LEVEL
    assert against(scoreboard(with_skills(tmp_path, {"copy": rival})))["copy"] == NOT_WORSE


def test_rotors_count_as_they_are_snapped(tmp_path):
    """At the condition that was snapped, among columns that other cases leave empty."""
    store = Store(tmp_path)
    for task in ("copy", "parity"):
        run = fair_run("hml", 0, task=task)
        for row in list(run.rows) if task == "parity" else ():
            if row["metric"] == "score" and row["length"] == 256:
                run.rows.append(row | {"metric": "accuracy_snapped", "value": 1.0})
        store.write(run)
    scores = scores_by_condition(loaded(store, "fair"))
    parity = scores[scores["task"] == "parity"].set_index("length")
    assert parity["score"].to_dict() == {64: pytest.approx(0.97), 256: 1.0}
    assert parity["within"].to_dict() == {64: True, 256: False}
    assert sorted(scores.loc[scores["task"] == "copy", "score"]) == pytest.approx([0.67, 0.97])


def test_cases_that_are_not_there_are_named(tmp_path):
    store = fill_fair(Store(tmp_path), seeds=1, cases=COMPARED[:3])
    for shown in (scoreboard, fair_kept, fair_books):
        with pytest.raises(HmlcoreError, match="lack the cases parity, sums modulo 5, expressions, bytes"):
            shown(loaded(store, "fair"))


def test_a_seed_that_a_row_lacks_or_has_twice_is_named(tmp_path):
    """Or a mean over cases would shift between the sides of a pair."""
    with_skills(tmp_path, {}, seeds=1)
    store = Store(tmp_path)
    store.write(fair_run("mamba", 2, "Mamba", "copy"))
    with pytest.raises(HmlcoreError, match=r"lack recall of Mamba, seeds \[2\]"):
        scoreboard(loaded(store, "fair"))
    store.write(fair_run("attention", 0, "attention", "copy", configuration="slow start"))
    with pytest.raises(HmlcoreError, match=r"have copy of attention twice, seeds \[0\]"):
        scoreboard(loaded(store, "fair").where(variant=["HML", "attention"]))


def test_a_guess_of_recall_is_one_of_as_many_values_as_there_are(tmp_path):
    """And only cases that count say who guesses."""
    store, rival = Store(tmp_path), "HML (rotors)"
    for task, seed in itertools.product(TESTED, range(5)):
        for row, skill in {"HML": 0.95, "attention": 0.95, rival: 0.28}.items():
            skill = {"attention": 0.5, rival: 1.0}.get(row, skill) if task == "sums modulo 5" else skill
            store.write(fair_run(ROWS[row], seed, row, task, skill=skill))
    guessing = at_chance(loaded(store, "fair"))
    assert ("sums", rival) in guessing  # modulo 5, which it alone can do, does not count
    assert ("recall", rival) in guessing and ("copy", rival) not in guessing


def test_claims_follow_the_scoreboard(results, tmp_path):
    assert len(CLAIMS) == len(FAMILIES) + len(OPTIONS) == 9
    assert not_worse_in("copy")(results)[0] == CONFIRMED
    worse = with_skills(tmp_path / "worse", {"needle": 1.0})
    assert not_worse_in("needle")(worse)[0] == REFUTED and not_worse_in("copy")(worse)[0] == CONFIRMED
    open_ = with_skills(tmp_path / "open", {"copy": [0.6, 1.0, 0.8, 1.0, 1.0]})
    assert not_worse_in("copy")(open_)[0] == UNDECIDED
    assert not any(row in not_worse_in("copy")(results)[1] for row in (*GROWING, *OPTIONS))


@pytest.mark.parametrize(
    ("skill", "verdict"),
    [(1.0, CONFIRMED), (0.95, REFUTED), (None, UNDECIDED), ([0.6, 1, 0.8, 1, 1], UNDECIDED)],
)
def test_what_an_option_pays(tmp_path, skill, verdict):
    """Better somewhere and worse nowhere; as good everywhere; better here and worse there; nothing told."""
    store = Store(tmp_path)
    for task, seed in itertools.product(TESTED, range(5)):
        other = skill[seed] if isinstance(skill, list) else skill
        other = other if skill is not None else {"copy": 0.9, "recall": 1.0}.get(task, 0.95)
        for row, here in {"HML": 0.95, "HML (rotors)": other, "attention": 0.95}.items():
            store.write(fair_run(ROWS[row], seed, row, task, skill=here - 0.002 * seed))
    assert option_pays("HML (rotors)")(loaded(store, "fair"))[0] == verdict


def test_rows_that_are_hml_differ_in_what_they_are_given():
    s = cases("laptop")["copy"]
    own = [row for row in ROWS if is_own(row)]
    assert own == ["HML", *OPTIONS]
    arguments = [given(row, s) for row in own]
    assert all(len(found) == 1 for found in arguments)
    distinct = [next(iter(found.values())) for found in arguments]
    assert len({canonical(found) for found in distinct}) == len(own)
    assert [found["dynamics"] for found in distinct] == ["delta", "oscillator", "delta", "leapfrog"]
    assert [found.get("rotors", 0) for found in distinct] == [0, 0, 4, 0]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_row_is_tuned_over_the_same_rates_and_tested_with_fresh_seeds(profile):
    tuning, tests = (protocol(name).grid(profile) for name in ("fair_tuning", "fair"))
    assert {entry["split"] for s in tuning for entry in s["evaluate"]} == {"validation"}
    assert {entry["split"] for s in tests for entry in s["evaluate"]} == {"test"}
    assert not {s["seed"] for s in tuning} & {s["seed"] for s in tests}
    tried = {}
    for s in tuning:
        tried.setdefault((s["task"], s["variant"], s["configuration"]), set()).add(s["lr"])
    assert all(rates >= set(RATES[profile]) for (case, *_), rates in tried.items() if case in FAMILY)
    assert all(len(rates) == 1 for (case, *_), rates in tried.items() if case in GATE_TRIAL)
    for case, rows in (dict.fromkeys(FAMILY, ROWS) | GATE_TRIAL).items():
        assert {row for task, row, _ in tried if task == case} == set(rows)
    for s in tuning:
        whole = cases(profile)[s["task"]]["steps"]
        assert s["steps"] == (max(3, whole // 3) if FAMILY.get(s["task"]) == "books" else whole)
    met = [(s["task"], s["variant"], s["seed"]) for s in tests]
    assert sorted(met) == sorted(itertools.product(FAMILY, ROWS, SEEDS[profile]))


@pytest.mark.parametrize("profile", PROFILES)
def test_memories_whose_size_can_be_set_have_equally_many_floats(profile):
    for s in cases(profile).values():
        n = s["d_model"] // s["heads"]
        for row in ROWS:
            for arguments in given(row, s).values():
                if "expand_v" in arguments or "dynamics" in arguments:
                    with torch.device("meta"):
                        memory = build_mixer(ROWS[row], s["d_model"], **arguments).init_state(1).memory
                    assert memory.numel() == 2 * n * s["d_model"]
                if "d_state" in arguments:
                    channels = arguments.get("expand", 2) * s["d_model"]
                    assert channels * arguments["d_state"] == 2 * n * s["d_model"]


@pytest.mark.parametrize("profile", ["smoke", "laptop"])
def test_all_rows_have_the_parameters_of_attention_and_are_trained_alike(profile):
    by_case = {}
    for s in protocol("fair_tuning").grid(profile):
        task = task_from(s["train"][0])
        with torch.device("meta"):
            count = Backbone(model_config(s, task.vocab_size)).parameter_count
        own = {k: v for k, v in s.items() if k not in ("model", "mixer", "variant", "configuration", "lr")}
        by_case.setdefault(s["task"], []).append((count, canonical(own)))
        assert s["optimizer"] == "muon" and ("solved_at" in s) == (task.name != "text")
    for found in by_case.values():
        counts = [count for count, _ in found]
        assert max(counts) <= 1.021 * min(counts) and len({own for _, own in found}) == 1


def test_the_test_takes_the_configuration_and_rate_that_tuning_found_best():
    stored = {
        "copy, RetNet, published": {"retnet": Tuned(0.01, (0.01, 0.03), (0,), best=False)},
        "copy, RetNet, with convolution": {"retnet": Tuned(0.03, (0.01, 0.03), (0,))},
    }
    names = ["published", "with convolution"]
    assert chosen(stored, "copy", "RetNet", names, [0.003, 0.01, 0.03]) == ("with convolution", 0.03)
    assert chosen(stored, "recall", "RetNet", names, [0.003, 0.01, 0.03]) == ("published", 0.01)


def test_the_strip_for_print_is_the_scoreboard_and_lower(results):
    """A page is wide: of its whole width it may take half the height."""
    wide, strip = fair_scoreboard(results), fair_strip(results)
    drawn, as_wide = ([(t.name, list(t.x), list(t.y)) for t in fig.data] for fig in (strip, wide))
    assert drawn == as_wide
    assert strip.layout.height <= 0.5 * wide.layout.height and strip.layout.height < 0.55 * 760


@pytest.mark.parametrize(
    ("figure", "tasks"),
    [(fair_kept, ("copy", "recall", "needle")), (fair_carried, ("parity", "sums modulo 5"))],
)
def test_curves_are_the_scores_by_condition(results, figure, tasks):
    """Every seed a dot; training ends where the longest of its conditions lies."""
    fig, scores = figure(results), scores_by_condition(results)
    scores = scores[scores["task"].isin(tasks)]
    for meta, wanted in (
        ("seeds", scores),
        ("mean", scores.groupby(["task", "variant", "within"])["score"].mean()),
    ):
        traces = [t for t in fig.data if t.meta == meta]
        drawn = sorted((t.name, y) for t in traces for y in t.y)
        table = wanted.reset_index()
        assert drawn == [
            (row, pytest.approx(y, abs=1e-4))
            for row, y in sorted(zip(table["variant"], table["score"], strict=True))
        ]
    assert [t.x[0] for t in fig.data if t.meta == "limit"] == [
        {"copy": 8, "recall": 4}.get(task, 64) for task in tasks
    ]
    assert [t.y[0] for t in fig.data if t.meta == "chance"] == pytest.approx(
        [CHANCE.get(t, 1 / 4) for t in tasks], abs=1e-4
    )


@pytest.mark.parametrize(
    ("figure", "best", "level"), [(fair_expressions, "HML", CHANCE["expressions"]), (fair_books, "HML", 2.3)]
)
def test_rows_stand_in_the_order_of_their_means(results, figure, best, level):
    fig = figure(results)
    means = {t.name: t.x[0] for t in fig.data if t.meta == "mean"}
    order = list(fig.layout.yaxis.categoryarray)
    assert set(order) == set(means) == set(ROWS) and best in order[-1]
    better = 1 if figure is fair_expressions else -1  # plotly begins below
    assert [means[row] for row in order] == sorted(means.values(), key=lambda value: better * value)
    assert all(len(t.x) == 5 for t in fig.data if t.meta == "seeds")
    assert all(t.error_x.array[0] > 0 for t in fig.data if t.meta == "mean")
    (line,) = [t for t in fig.data if t.meta == "chance"]
    assert set(line.x) == {level}
    low, high = fig.layout.xaxis.range
    assert all(low < x < high for t in fig.data for x in t.x)


def test_a_diverged_run_is_drawn_as_nothing_learned(tmp_path):
    store = fill_fair(Store(tmp_path), seeds=1)
    run = fair_run("mamba", 1, "Mamba", "copy")
    for row in run.rows:
        row["value"] = float("nan") if row["metric"] == "score" else row["value"]
    store.write(run)
    for task in TESTED:
        if task != "copy":
            store.write(fair_run("mamba", 1, "Mamba", task))
    drawn = [t for t in fair_kept(loaded(store, "fair")).data if t.meta == "seeds" and t.name == "Mamba"]
    assert sorted(drawn[0].y)[:2] == [0, 0] and len(drawn[0].y) == 4


def test_a_run_without_bits_is_not_drawn_as_the_best_of_all(tmp_path):
    with_skills(tmp_path, {}, seeds=1)
    store = Store(tmp_path)
    for task in TESTED:
        run = fair_run("mamba", 1, "Mamba", task)
        for row in run.rows if task == "bytes" else ():
            row["value"] = float("nan") if row["metric"] == "score" else row["value"]
        store.write(run)
    (drawn,) = [t for t in fair_books(loaded(store, "fair")).data if t.meta == "seeds" and t.name == "Mamba"]
    assert len(drawn.x) == 1 and drawn.x[0] > 1


def test_a_hover_counts_the_answers_of_its_own_condition(tmp_path):
    """Of many pairs more is asked than of few, and the interval of an accuracy hangs on that."""
    with_skills(tmp_path, {}, seeds=1)
    run = fair_run("hml", 0, task="copy")
    for row in run.rows:
        row |= {"n": 640} if row.get("delay") == 64 else {}
    Store(tmp_path).write(run)
    (dots,) = [
        t for t in fair_kept(loaded(Store(tmp_path), "fair")).data
        if t.meta == "seeds" and t.name == "HML" and max(t.x) == 64 and t.xaxis == "x"
    ]  # fmt: skip
    told = dict(zip(dots.x, dots.text, strict=True))
    assert "n = 640" in told[64] and "n = 640" not in told[8]


def test_a_seed_of_the_rival_alone_is_no_pair_of_books_either(tmp_path):
    with_skills(tmp_path, {"bytes": 0.9})
    store = Store(tmp_path)
    for task in TESTED:
        store.write(fair_run("mamba", 9, "Mamba", task, skill=0.9))
    table = scoreboard(loaded(store, "fair")).set_index(["family", "rival"])
    for family in FAMILIES:
        assert table.loc[(family, "Mamba"), "seeds"] == 5 and table.loc[(family, "Mamba"), "effect"] >= 0


def test_no_memory_is_spared_what_a_question_of_recall_is_asked_among():
    """Filler of the whole vocabulary would be keys anew."""
    for profile in PROFILES:
        for part in ("train", "test"):
            assert all(task_from(t).random_non_queries is False for t in cases(profile)["recall"][part])
        assert "recurrences" not in cases(profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_what_a_table_reads_is_measured_at_every_profile(profile):
    """Whether a case was solved is stored where a training may end early, and the table of it is on a page."""
    specs = protocol("fair").grid(profile)
    assert {s["task"] for s in specs if "solved_at" in s} == {s["task"] for s in specs} - {
        "bytes",
        "byte pairs",
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_what_misses_the_gate_is_tried_with_more_steps_and_nothing_else(profile):
    known = cases(profile)
    short, long = known["expressions"], known[LONG]
    assert long["steps"] > short["steps"] and long == short | {"steps": long["steps"]}
    assert not {*GATE_TRIAL} & {s["task"] for s in protocol("fair").grid(profile)}


def test_the_table_of_what_was_tried_says_what_is_needed(tmp_path):
    """Byte pairs as bits a byte beside the floor of their text, expressions as accuracy beside the gate's."""
    table = fair_tried(loaded(fill_fair(Store(tmp_path)), "fair_tuning")).html
    lines = [re.findall(r"<t[dh]>(.*?)</t[dh]>", line) for line in table.split("<tr")]
    memory, *cases = next(line for line in lines if "memory" in line)
    found = {line[0]: line[1:] for line in lines if line and line[0] != memory}
    assert cases == ["byte pairs", LONG] and list(found)[-1] == "needed by one"
    assert found["needed by one"] == ["1.000", "0.900"]
    assert found["attention"] == ["0.750", "0.950"] and found["matched gated DeltaNet"][1] == "0.960"
    assert set(found) == {*itertools.chain(*GATE_TRIAL.values()), "needed by one"}
