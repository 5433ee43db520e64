"""The books: a fair grid; runs say what was read, what it costs at every context, what the model wrote."""

import math

import pandas as pd
import pytest
import torch

from hmlcore import paths
from hmlcore.errors import HmlcoreError
from hmlcore.models import Backbone
from hmlcore.models.saved import load_model
from hmlcore.results import Store
from hmlcore.results.spec import canonical
from hmlcore.runner.model import build_model, model_config
from hmlcore.runner.run import execute
from hmlcore.studies import get_experiment, protocol
from hmlcore.studies.kit.comparison import HEADLINE, task_from
from hmlcore.studies.kit.study import ALL_MIXERS, PROFILES
from hmlcore.studies.pg19.grid import BYTES, MIXERS, PROMPT, spans
from hmlcore.tasks.bpe import BPE
from hmlcore.training import Paused

GRIDS = {profile: protocol("pg19").grid(profile) for profile in PROFILES}


def of(profile, task, variant):
    return [s for s in GRIDS[profile] if (s["task"], s["variant"]) == (task, variant)]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_mixer_meets_the_same_books_at_the_same_cost(profile):
    seeds = {(s["mixer"], s["seed"]) for s in of(profile, "bpe", "windows")}
    assert {mixer for mixer, seed in seeds if seed == 0} == set(MIXERS) == {*ALL_MIXERS, "window_attention"}
    most = 2 if profile == "smoke" else 3
    assert {(m, n) for m, n in seeds if n > 0} == {(m, n) for m in HEADLINE for n in range(1, most)}
    tuning = {(s["mixer"], s["lr"]) for s in of(profile, "bpe", "tuning")}
    rates = {lr for _, lr in tuning}
    assert len(rates) == 2 and tuning == {(mixer, lr) for mixer in MIXERS for lr in rates}
    assert {s["mixer"] for s in of(profile, "bpe", "carried")} == set(HEADLINE)
    assert {s["mixer"] for s in of(profile, "bytes", "windows")} == set(BYTES)


@pytest.mark.parametrize("profile", PROFILES)
def test_runs_of_a_kind_differ_in_mixer_seed_and_rate_only(profile):
    kinds = {(s["task"], s["variant"]) for s in GRIDS[profile]}
    assert len(kinds) == 4
    for kind in kinds:
        rest = [
            {k: v for k, v in s.items() if k not in ("mixer", "seed", "lr", "model")}
            for s in of(profile, *kind)
        ]
        assert len({canonical(r) for r in rest}) == 1
    carried, windows = of(profile, "bpe", "carried")[0], of(profile, "bpe", "windows")[0]
    changed = {k for k in windows if carried.get(k) != windows[k]}
    assert changed <= {"variant", "train", "lr"}
    assert carried["train"] == [windows["train"][0] | {"order": "stream"}]


@pytest.mark.parametrize("profile", PROFILES)
def test_parameters_are_equal_and_so_is_the_state_of_window_and_matrices(profile):
    counts, floats = {}, {}
    for s in {
        (s["mixer"], s["task"]): s for s in of(profile, "bpe", "windows") + of(profile, "bytes", "windows")
    }.values():
        with torch.device("meta"):
            model = Backbone(model_config(s, task_from(s["train"][0]).vocab_size))
        counts[s["mixer"], s["task"]] = model.parameter_count
        floats[s["mixer"]] = model.state_size(10_000)
    assert max(counts.values()) <= (1.021 if profile == "smoke" else 1.01) * min(counts.values()), counts
    if profile == "laptop":
        assert 1e6 <= min(counts.values()) <= 3e6
    if profile == "full":
        assert 3e7 <= min(counts.values()) <= 1e8
    # But for short convolutions' inputs and what a window notes of its place, at `smoke` the most of it.
    for mixer in ("window_attention", "gated_deltanet", "retnet", "mamba2"):
        assert profile == "smoke" or floats[mixer] == pytest.approx(floats["hml"], rel=0.2)


def test_no_rate_is_chosen_by_what_is_published():
    for s in GRIDS["laptop"]:
        assert {entry["split"] for entry in s["evaluate"]} == {"validation"}
        assert ("long_text" in s) == (s["variant"] != "tuning")


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """A run of the smoke grid on ten small files."""
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HMLCORE_CHECKPOINTS", str(tmp_path / "checkpoints"))
    folder = tmp_path / "books"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i}.txt").write_text(
            " ".join(f"In chapter {j} of book {i} the sea rose {i * j} feet." for j in range(40))
        )

    def one(mixer="gru", task="bpe", variant="windows", **changes):
        s = next(s for s in of("smoke", task, variant) if s["mixer"] == mixer)
        place = {"corpus": f"folder:{folder}"} | ({"vocab": 290} if task == "bpe" else {})
        s = s | {"train": [s["train"][0] | place], "evaluate": [s["evaluate"][0] | place]}
        tested = s["long_text"] | {"books": 1, "span": 800, "windows": [[32, 16], [2048, 1024]]}
        return s | {"long_text": tested, **changes}

    return one


@pytest.mark.parametrize("task", ["bpe", "bytes"])
def test_a_run_says_what_the_books_cost(spec, tmp_path, task):
    asked = spec(task=task, mixer="hml")
    store = Store(tmp_path / "results")
    execute(asked, store, save_models=tmp_path / "models")
    frame = store.load("smoke", "pg19").frame
    rows = {metric: part for metric, part in frame.groupby("metric")}
    text = task_from(asked["train"][0])
    ((title, tokens),) = spans(text, 1, 800).items()
    read = text.opened_tokenizer.decode(tokens)
    assert 790 < len(read) <= 800
    assert (tmp_path / "books" / title).read_bytes().startswith(read)
    # One document: it and all of them are the same; every token but the first is scored once.
    cost = rows["bits_per_byte"].set_index(["context", "document"])
    assert set(cost["n"]) == {len(tokens) - 1}
    for context in (32, 2048):
        assert cost["value"][context, title] == cost["value"][context, "all"]
    # The longest context by hand, in one pass over the tokens.
    model, extra = load_model(next((tmp_path / "models").iterdir()))
    with torch.no_grad():
        logits = model.eval()(tokens[None, :-1])[0][0]
    nats = float(torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="sum"))
    size = len(read) - int(text.token_bytes[tokens[0]])
    assert cost["value"][2048, "all"] == pytest.approx(nats / size / math.log(2), rel=1e-4)
    perplexity = rows["perplexity"].set_index(["context", "document"])["value"]
    assert perplexity[2048, "all"] == pytest.approx(math.exp(nats / (len(tokens) - 1)), rel=1e-4)
    # Stretches of the text add up to it.
    at = rows["bits_per_byte_at"]
    at = at[(at["context"] == 32) & (at["document"] == "all")].sort_values("position")
    assert at["position"].tolist()[:3] == [0, 64, 128] and at["n"].sum() == len(tokens) - 1
    assert min(at["value"]) < cost["value"][32, "all"] < max(at["value"])
    batches = [text.batch("train", i, asked["batch_size"], 0) for i in range(asked["steps"])]
    targets = torch.cat([batch.targets.flatten() for batch in batches]).tolist()
    assert rows["training_bytes"]["value"].item() == len(text.opened_tokenizer.decode(targets))
    sample = rows["sample"].iloc[0]
    assert sample["prompt"] == PROMPT and len(sample["text"]) >= 1 and sample["n"] == 8
    assert extra.get("tokenizer") == (text.opened_tokenizer.text if task == "bpe" else None)
    if task == "bpe":
        assert BPE(extra["tokenizer"]).sha256[:16] in frame["data_version"].iloc[0]


def test_tuning_sees_validation_only(spec, tmp_path):
    asked = spec()
    del asked["long_text"]
    execute(asked | {"variant": "tuning"}, Store(tmp_path / "results"))
    frame = Store(tmp_path / "results").load("smoke", "pg19").frame
    assert set(frame["split"]) == {"train", "validation"}
    assert "bits_per_token" in set(frame["metric"])


@pytest.mark.parametrize("variant", ["windows", "carried"])
def test_an_interrupted_run_ends_with_the_same_numbers(spec, tmp_path, variant, monkeypatch):
    asked = spec("hml", variant=variant, steps=6)
    whole, resumed = Store(tmp_path / "whole"), Store(tmp_path / "resumed")
    execute(asked, whole)
    from hmlcore.runner import run
    from hmlcore.training import train

    def stopped(*args, **kwargs):
        def stop(step):
            if step == 3:
                raise KeyboardInterrupt

        return train(*args, **kwargs, after_step=stop)

    monkeypatch.setattr(run, "train", stopped)
    with pytest.raises((KeyboardInterrupt, Paused)):
        execute(asked, resumed)
    monkeypatch.setattr(run, "train", train)
    execute(asked, resumed)
    columns = ["metric", "value", "n", "step", "context", "document", "position", "text"]
    one, other = (store.load("smoke", "pg19").frame for store in (whole, resumed))
    one, other = (f[~f["metric"].isin(["peak_memory_bytes"])][columns] for f in (one, other))
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True), check_exact=True)


def test_books_that_are_too_short_are_refused(spec):
    task = task_from(spec()["train"][0])
    with pytest.raises(HmlcoreError, match="books = 2, but only 1 test documents have span = 800 bytes"):
        spans(task, 2, 800)
    assert build_model(spec(), task).config.vocab_size == 290


def test_books_were_met_under_equal_conditions():
    """All mixers tried both rates for as long, and train at the one that these trials chose."""
    results = get_experiment("pg19").load(Store(paths.root() / "results"), "laptop")
    runs = results.runs()
    assert runs["parameters"].max() <= 1.02 * runs["parameters"].min()
    trials = results.metric("bits_per_token", split="validation", variant="tuning")
    tried = trials.groupby("mixer")["lr"].apply(sorted)
    assert set(tried.index) == set(MIXERS)
    assert all(rates == tried.iloc[0] and len(rates) == 2 for rates in tried)
    chosen = trials.sort_values(["value", "lr"]).groupby("mixer")["lr"].first()
    trained = runs[runs["variant"] != "tuning"]
    assert (trained["lr"] == trained["mixer"].map(chosen)).all()
    read = trained.groupby(["task", "variant"])["steps"].nunique()
    assert (read == 1).all()
