"""What the figures of ops show: floors beside times, ratios, flat decoding, and the goals."""

import re

import pytest
from made_up_results import OPS, loaded, op_run

from hmlcore.errors import HmlcoreError
from hmlcore.figures.style import mixer_style
from hmlcore.results import ResultSet, Store
from hmlcore.studies.speed.figures import FIGURES
from hmlcore.studies.speed.op_figures import floors_of, op_decode, op_goals_table, op_train


def op_store(folder, names=OPS, **changes) -> Store:
    store = Store(folder)
    for name in names:
        store.write(op_run(name, 0, **changes))
    return store


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> ResultSet:
    return loaded(op_store(tmp_path_factory.mktemp("ops")), "op_speed")


def lines(fig, meta="time"):
    return {trace.name: trace for trace in fig.data if trace.meta == meta}


def test_floors_are_the_larger_of_bytes_and_flops(results):
    floors = floors_of(results, "seconds_train")
    # 4,000 bytes at 2e10 a second; 18 · 8192 FLOPs at 3e11 are more.
    assert floors["op:hml-p2", 2048] == pytest.approx(18 * 8192 / 3e11)
    assert floors["op:hml-p1", 2048] == pytest.approx(18 * 4096 / 3e11)
    decode = floors_of(results, "seconds_decode")
    assert decode["op:sdpa", 10**6] == pytest.approx((8 * 128 * 10**6 + 1000) / 2e10)
    with pytest.raises(HmlcoreError, match="lack the columns"):
        floors_of(ResultSet(results.frame.drop(columns="floor_flops_s")), "seconds_train")


def test_a_line_an_op_and_a_dotted_floor_where_it_differs(results):
    fig = op_train(results)
    assert list(lines(fig)) == [mixer_style(name).label for name in OPS]
    floors = lines(fig, "floor")
    # Equal bytes and FLOPs make one line; p = 1 has half, attention's grows.
    assert list(floors) == ["HML, p = 2, limit", "HML, p = 1, limit", "Attention (SDPA), limit"]
    assert list(floors["HML, p = 2, limit"].y) == pytest.approx([1e6 * 18 * 8192 / 3e11] * 3, rel=1e-4)
    grows = floors["Attention (SDPA), limit"].y
    assert grows[2] == pytest.approx(4 * grows[0], rel=1e-4)
    floor = floors["HML, p = 1, limit"]
    assert floor.line.dash == "dot" and not floor.showlegend and floor.legendgroup == "HML, p = 1"
    assert "the machine's limit: 0.246 µs a token" in floor.text[0]


def test_buttons_divide_floors_too(results):
    fig = op_train(results)
    buttons = fig.layout.updatemenus[0].buttons
    assert [b.label for b in buttons] == [
        "µs per token", "÷ Attention (SDPA)", "÷ Gated DeltaNet (transformers)", "÷ HML, p = 1",
    ]  # fmt: skip
    names = [trace.name for trace in fig.data]
    line, floor = names.index("HML, p = 2"), names.index("HML, p = 2, limit")
    for button in buttons:
        data = button.args[0]
        assert all(len(data[key]) == len(fig.data) for key in ("x", "y", "text"))
        # What is divided is divided alike.
        for at in range(3):
            ratio = fig.data[floor].y[at] / fig.data[line].y[at]
            assert data["y"][floor][at] / data["y"][line][at] == pytest.approx(ratio, rel=1e-3)
    assert set(buttons[1].args[0]["y"][names.index("Attention (SDPA)")]) == {1.0}


def test_decoding_shows_time_and_bytes_by_context(results):
    fig = op_decode(results)
    assert lines(fig)["HML, p = 2"].x == (1000.0, 1e6)
    moved = lines(fig, "bytes")
    assert set(moved["HML, p = 2"].y) == {8 * 8192 + 1000} and not moved["HML, p = 2"].showlegend
    assert moved["Attention (SDPA)"].y[1] > 900 * moved["Attention (SDPA)"].y[0]
    assert "65 KiB moved" in moved["HML, p = 2"].text[0]
    assert list(fig.layout.xaxis.ticktext) == ["1,000", "1,000,000"]
    assert not fig.layout.updatemenus


def test_what_was_not_timed_is_absent(tmp_path):
    results = loaded(op_store(tmp_path, ["op:hml-p2", "op:gdn-transformers"]), "op_speed")
    fig = op_train(results)
    assert [b.label for b in fig.layout.updatemenus[0].buttons][1:] == ["÷ Gated DeltaNet (transformers)"]
    assert len(fig.data[-1].x or ()) == 0  # no ring without attention
    html = op_goals_table(results).html
    assert "op trains faster than causal attention" in html
    assert re.search(r"times as fast: 2\.\d\d at 1,024, 2\.\d\d at 2,048", html)


def test_goals_say_what_was_measured(results):
    table = op_goals_table(results)
    assert (
        "confirmed" in table.html and "On a GPU" in table.html and "not measured on this machine" in table.html
    )
    assert "2 threads" in table.latex


def test_memory_of_ops_is_drawn_too(results):
    fig = FIGURES["op_memory"].function(results)
    assert set(lines(fig)["HML, p = 2"].y) == {6000.0}


def test_a_shorter_line_on_another_is_not_drawn_again(results):
    short = results.frame
    short = short[~((short["mixer"] == "op:gdn-transformers") & (short["length"] == 4096))]
    assert list(lines(op_train(ResultSet(short)), "floor")) == list(lines(op_train(results), "floor"))
