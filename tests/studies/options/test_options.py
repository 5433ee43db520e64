"""The rule of the second bake-off, and that its runs differ in what they are said to differ in."""

import itertools
from collections import defaultdict

import pandas as pd
import pytest
from made_up_results import CASES, OPTIONS, loaded, option_run

from hmlcore.results import Store
from hmlcore.studies import protocol
from hmlcore.studies.kit.scores import FAMILY, case_scores, family_scores
from hmlcore.studies.kit.study import PROFILES
from hmlcore.studies.options import BESIDE, CANDIDATES
from hmlcore.studies.options.figures import option_effects
from hmlcore.studies.options.grid import RATES
from hmlcore.studies.options.standings import default, effects, standings


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("options"))
    for variant, mixer in OPTIONS.items():
        for task in CASES:
            for seed in range(5):
                store.write(option_run(mixer, seed, variant, task))
    return loaded(store, "options")


def test_text_counts_in_bits_a_byte_and_rotors_as_they_are_snapped(results):
    scores = case_scores(results, "validation").groupby(["variant", "task"])["score"].mean()
    assert scores["delta", "bytes"] == -5.0 and scores["delta", "byte pairs"] == -1.25
    assert scores["delta + rotors", "parity"] == 1.0 and scores["delta", "parity"] == pytest.approx(0.52)


def test_a_family_is_the_mean_of_its_cases_and_a_diverged_run_is_the_worst(tmp_path):
    store = Store(tmp_path)
    for task in CASES:
        run = option_run("hml", 0, task=task)
        if task == "parity":
            run.rows[0]["value"] = float("nan")
        store.write(run)
    scores = family_scores(loaded(store, "options"), "validation").set_index("family")["score"]
    assert scores["books"] == -5.0 and scores["copy"] == 0.5
    assert scores["sums"] == float("-inf") and set(scores.index) == set(FAMILY.values())


def test_the_lowest_mean_rank_leads_and_options_have_to_pay(results):
    table = standings(results)
    assert set(table.index) == set(CANDIDATES)
    # Rotors and skip win the sums and the books, and share every other rank: two more options bring nothing.
    best = table["mean rank"].min()
    assert table.loc["delta + rotors + skip", "mean rank"] == best
    assert default(table) == "delta + rotors + skip"
    ranks = pd.DataFrame({"mean rank": [2.0, 2.4, 2.5, 2.6]}, index=["oscillator + rotors + skip", "oscillator",
                         "delta + skip", "delta"])  # fmt: skip
    assert default(ranks) == "oscillator" and default(ranks[:1]) == "oscillator + rotors + skip"
    ranks.loc["delta", "mean rank"] = 2.5
    assert default(ranks) == "delta"


def test_effects_are_paired_by_seed(results):
    found = effects(results, "delta + rotors", "delta")
    assert found["recall"].estimate[:3] == (0, 0, 0) and found["sums"].estimate.mean == pytest.approx(0.32)
    assert found["sums"].estimate.low < 0.32 < found["sums"].estimate.high


@pytest.mark.parametrize("profile", PROFILES)
def test_every_variant_meets_every_case_on_validation_alone(profile):
    """With every seed; all rates with the first seed alone."""
    specs = protocol("options").grid(profile)
    first, *others = sorted({s["seed"] for s in specs})
    assert len(others) == {"smoke": 1, "laptop": 2, "full": 4}[profile]
    runs = defaultdict(lambda: defaultdict(set))
    for s in specs:
        runs[s["variant"], s["task"]][s["seed"]].add(s["lr"])
    assert runs.keys() == set(itertools.product({*CANDIDATES, *BESIDE}, FAMILY))
    for seeds in runs.values():
        assert sorted(seeds) == [first, *others]
        assert seeds[first] == set(RATES[profile])
        assert all(len(seeds[seed]) == 1 for seed in others if seed in seeds)
    for s in specs:
        splits = {entry["split"] for entry in s["evaluate"]} | {
            s["snapping"]["on"]["split"] if "snapping" in s else "validation"
        }
        assert splits == {"validation"} and s["optimizer"] == "muon"
        assert s["mixer"] == ("hml" if s["variant"] in CANDIDATES else "gated_deltanet")


def test_books_are_read_to_the_end_and_the_rest_until_it_is_solved():
    for s in protocol("options").grid("laptop"):
        assert ("solved_at" in s) == (s["task"] != "bytes")


def test_an_interval_is_promised_where_it_is_shown(results, made_up_store):
    """Five seeds have one, three do not."""
    for found, shown in ((results, True), (loaded(made_up_store, "options"), False)):
        html = option_effects(found).html
        assert (" … " in html) == ("95% interval" in html) == shown
