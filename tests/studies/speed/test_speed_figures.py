"""What the figures of speed and memory show, and the crossovers they mark."""

import pandas as pd
import pytest
from made_up_results import ALL_MIXERS, loaded, state_floats
from timed_runs import LENGTHS, TRAIN, timed_run, timed_store

from hmlcore.errors import HmlcoreError
from hmlcore.results import ResultSet, Store
from hmlcore.studies.speed.layer_figures import (
    per_token,
    speed_decode,
    speed_memory,
    speed_paths_table,
    speed_train,
)
from hmlcore.studies.speed.timings import crossover


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> ResultSet:
    return loaded(timed_store(Store(tmp_path_factory.mktemp("timed"))), "speed")


def lines(fig):
    return {trace.name: trace for trace in fig.data if trace.meta == "time"}


def test_crossover_is_interpolated_on_both_logarithms():
    # ratio = 1000 / length: a straight line on logarithmic axes, through 1 at 1000.
    lengths = [512, 2048, 8192]
    assert crossover(lengths, [1000 / x for x in lengths]) == pytest.approx(1000)
    assert crossover(lengths, [0.9, 0.8, 0.7]) is None  # faster all along: the crossing was not seen
    assert crossover(lengths, [0.5, 0.9, 1.0]) is None  # not faster in the end
    assert 2048 < crossover(lengths, [0.9, 1.1, 0.8]) < 8192  # for good, whatever was before
    assert crossover(lengths, [2.0, float("nan"), 0.5]) == pytest.approx(2048)


def test_times_are_per_token_and_ratios_of_one_length(results):
    rows = per_token(results, "seconds_train").set_index(["mixer", "length"])
    assert rows["each"]["hml", 512] == pytest.approx(17e-6)
    assert rows["to_attention"]["gru", 32768] == pytest.approx((3 + 3.7e-3 * 32768) / (5 + 2.6e-3 * 32768))
    assert (rows["to_gated_deltanet"]["gated_deltanet"] == 1).all()
    decode = per_token(results, "seconds_decode").set_index(["mixer", "length"])
    assert decode["each"]["hml", 512] == pytest.approx(470e-6)  # batch 1, one token: the value itself


def test_a_line_a_mixer_with_time_ratios_repeats_and_path_in_the_hover(results):
    fig = speed_train(results)
    assert len(lines(fig)) == len(ALL_MIXERS) and fig.layout.xaxis.type == fig.layout.yaxis.type == "log"
    hml = lines(fig)["HML"]
    assert list(hml.x) == LENGTHS and list(hml.y) == pytest.approx([17.0] * len(LENGTHS))
    text = hml.text[3]
    for part in (
        "<b>HML</b> 4,096 tokens", "17.0 µs a token", "1.09 × the time of Attention", "batch 8", "n = 5",
        "quartiles 4% apart", "hamiltonian:chunk short_conv:conv1d", "5.67 × the machine's limit",
    ):  # fmt: skip
        assert part in text, part
    assert "hamiltonian:step" in lines(speed_decode(results))["HML"].text[0]


def test_buttons_show_the_same_lines_as_ratios(results):
    fig = speed_train(results)
    absolute, attention, deltanet = (button.args for button in fig.layout.updatemenus[0].buttons)
    order = [trace.name for trace in fig.data[:-1]]
    assert [list(trace.y) for trace in fig.data] == [list(y) for y in absolute[0]["y"]]
    assert set(attention[0]["y"][order.index("Attention")]) == {1.0}
    assert set(deltanet[0]["y"][order.index("Gated DeltaNet")]) == {1.0}
    assert attention[1] == {"yaxis.title.text": "time ÷ that of Attention"}
    assert all(
        len(args[0][key]) == len(fig.data) for args in (attention, deltanet) for key in ("x", "y", "text")
    )


def test_rings_lie_where_the_lines_meet(results):
    fig = speed_train(results)
    ring = fig.data[-1]
    assert ring.meta == "crossover" and not ring.showlegend
    at = dict(zip(ring.text, zip(ring.x, ring.y, strict=True), strict=True))
    ((x, y),) = [place for text, place in at.items() if "<b>HML</b> is faster than Attention" in text]
    # 5 + .0026 T = 17 at T = 4615; the interpolation between 4096 and 8192 comes near.
    assert x == pytest.approx((17 - 5) / 2.6e-3, rel=0.02) and y == pytest.approx(17)
    faster = {name for name, (constant, growing) in TRAIN.items() if constant + growing * 32768 < 90.2}
    late = {name for name in faster if TRAIN[name][0] + TRAIN[name][1] * 512 > 5 + 2.6e-3 * 512}
    assert len(at) == len(late - {"attention"})
    ratios = fig.layout.updatemenus[0].buttons[1].args[0]["y"][-1]
    assert ratios == pytest.approx([1.0] * len(at), abs=1e-3)


def test_memory_is_bytes_per_token(results):
    line = lines(speed_memory(results))["HML"]
    assert list(line.y) == [250 * 57] * len(LENGTHS)
    assert "13.9 KiB a token" in line.text[0] and "batch 64" in line.text[0]


def test_what_was_left_out_stays_absent(tmp_path):
    store = timed_store(Store(tmp_path), ["hml", "gated_deltanet"])
    store.write(timed_run("attention", LENGTHS[:3]))
    results = loaded(store, "speed")
    fig = speed_train(results)
    assert list(lines(fig)["Attention"].x) == LENGTHS[:3]
    assert lines(fig)["HML"].text[-1].count("the time of Attention") == 0
    ratio = fig.layout.updatemenus[0].buttons[1].args[0]["y"][0]
    assert ratio[-1] is None and ratio[0] > 1
    latex = speed_paths_table(results).latex
    assert "none measured" in latex and "nan" not in latex


def test_without_a_reference_there_is_no_view_of_it(tmp_path):
    fig = speed_train(loaded(timed_store(Store(tmp_path), ["hml", "gru"]), "speed"))
    assert not fig.layout.updatemenus and len(fig.data[-1].x or ()) == 0


def test_table_names_path_crossover_and_ratio(results):
    latex = speed_paths_table(results).latex
    rows = [line.split(" & ") for line in latex.splitlines() if " & HML & " in line]
    assert [row[0] for row in rows] == ["training", "decoding"]
    assert rows[0][2:5] == [r"hamiltonian:chunk short\_conv:conv1d", "4,600", "0.188"]
    assert " & Hyena & " in latex and "all lengths" in latex and "none measured" in latex
    assert "2 threads" in latex


def test_timings_of_two_occasions_are_refused(tmp_path):
    store = timed_store(Store(tmp_path), ["attention"])
    store.write(timed_run("hml", started_at="2026-01-02T00:00:00+00:00"))
    for draw in (speed_train, speed_decode, speed_memory, speed_paths_table):
        with pytest.raises(HmlcoreError, match=r"2 occasions cannot be compared.*hml bench --profile laptop"):
            draw(loaded(store, "speed"))


def test_timings_of_two_devices_are_refused(results):
    frame = results.frame.assign(device=["cpu", *["a GPU"] * (len(results.frame) - 1)])
    with pytest.raises(HmlcoreError, match="refusing to mix timings of several devices"):
        per_token(ResultSet(pd.DataFrame(frame)), "seconds_train")


def test_limits_are_drawn_of_hml_and_attention_only(results):
    fig = speed_train(results)
    floors = {trace.name: trace for trace in fig.data if trace.meta == "floor"}
    assert list(floors) == ["HML, limit", "Attention, limit"]
    # Three forward passes of 1e5 FLOPs at 1e11 a second: 3 µs.
    assert set(floors["HML, limit"].y) == {3.0} and list(floors["HML, limit"].x) == LENGTHS
    assert floors["HML, limit"].legendgroup == "HML" and not floors["HML, limit"].showlegend
    names = [trace.name for trace in fig.data]
    ratios = fig.layout.updatemenus[0].buttons[1].args[0]["y"]
    assert ratios[names.index("HML, limit")][0] == pytest.approx(3 / (5 + 2.6e-3 * 512), rel=1e-3)
    decode = {trace.name: trace for trace in speed_decode(results).data if trace.meta == "floor"}
    state = 4 * state_floats("hml", 512)
    assert decode["HML, limit"].y[0] == pytest.approx((4 * 101_000 + state) / 1e10 * 1e6, rel=1e-4)


def test_without_the_machine_s_rates_there_are_no_limits(results):
    frame = results.frame[~results.frame["metric"].isin(("matmul_rate", "copy_bandwidth"))]
    fig = speed_train(ResultSet(frame))
    assert not [trace for trace in fig.data if trace.meta == "floor"]
    assert "limit" not in lines(fig)["HML"].text[0]
