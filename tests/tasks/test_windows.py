"""Where windows and lanes are, and the order in which they come."""

import numpy as np
import pytest

from hmlcore.tasks.windows import Lanes, Windows


class Flat(Windows):
    """Starts numbered along all documents laid end to end."""

    def __init__(self, sizes, length):
        super().__init__(np.array(sizes), length)
        self.begins = np.cumsum([0, *sizes])

    def uniform(self, rng, count):
        document, place = super().uniform(rng, count)
        return self.begins[document] + place

    def spread(self, first, count):
        document, place = super().spread(first, count)
        return self.begins[document] + place


def test_training_starts_are_uniform_over_all_positions():
    # Length 4: sizes 10, 4, 7 and 5 leave 6, 0, 3 and 1 starts.
    windows = Flat([10, 4, 7, 5], 4)
    starts = windows.uniform(np.random.default_rng(0), 20_000)
    possible = [0, 1, 2, 3, 4, 5, 14, 15, 16, 21]
    places, counts = np.unique(starts, return_counts=True)
    assert places.tolist() == possible
    assert np.abs(counts / 20_000 - 0.1).max() < 4 * np.sqrt(0.09 / 20_000)


def test_held_out_windows_by_hand():
    # Length 3: a document of n bytes holds (n − 1) // 3 tiles, so 10, 3, 5, 7 bytes hold 3, 0, 1, 2.
    windows = Flat([10, 3, 5, 7], 3)
    assert sorted(windows.spread(0, 6).tolist()) == [0, 3, 6, 13, 18, 21]
    # Six tiles, golden stride 4 → 5 (coprime): the walk is 0, 5, 4, 3, 2, 1.
    assert windows.spread(0, 6).tolist() == [0, 21, 18, 13, 6, 3]
    assert windows.spread(4, 2).tolist() == [6, 3]
    # Second lap: shifted by ⌊3 · 0.618⌋ = 1, held back where the document ends (6 + 1 in ten bytes,
    # 13 + 1 in five, 21 + 1 in seven).
    assert windows.spread(6, 6).tolist() == [1, 21, 19, 14, 6, 4]


def test_held_out_targets_do_not_repeat_and_every_prefix_is_spread():
    sizes = [5000, 300, 12_001, 777]
    windows = Flat(sizes, 100)
    tiles = sum((size - 1) // 100 for size in sizes)
    starts = windows.spread(0, tiles)
    targets = (starts[:, None] + 1 + np.arange(100)).flatten()
    assert len(np.unique(targets)) == tiles * 100
    order = np.argsort(np.argsort(starts))  # the tile each step visits, numbered along the text
    for count in (8, 30, 90):
        gaps = np.diff(np.sort(order[:count]), append=tiles + order[:count].min())
        assert gaps.max() <= 3 * tiles / count


def test_a_single_window_can_be_all_there_is():
    windows = Flat([9, 2], 8)
    assert set(windows.uniform(np.random.default_rng(0), 50)) == {0}
    assert windows.spread(0, 3).tolist() == [0, 0, 0]


def test_lanes_read_each_of_their_documents_whole_and_in_order_then_again():
    # Length 4: documents of 9, 4, 13, 5, 8 and 22 tokens hold 2, 0, 3, 1, 1 and 5 stretches.
    sizes, held = np.array([9, 4, 13, 5, 8, 22]), {0: 2, 2: 3, 3: 1, 4: 1, 5: 5}
    lanes = Lanes(sizes, 4, 2, seed=3)
    dealt = [set(documents.tolist()) for documents in lanes.documents]
    assert dealt[0] | dealt[1] == set(held) and not dealt[0] & dealt[1]
    for lane, mine in enumerate(dealt):
        steps = sum(held[document] for document in mine)
        orders = []
        for lap in range(6):
            read = [tuple(int(x[lane]) for x in lanes.at(lap * steps + step)) for step in range(steps)]
            order = list(dict.fromkeys(document for document, _ in read))
            # Each document once, from its beginning, stretch after stretch, before the next one.
            assert read == [(document, 4 * i) for document in order for i in range(held[document])]
            assert set(order) == mine
            orders.append(tuple(order))
        assert len(set(orders)) > 1


def test_lanes_depend_on_the_seed_and_on_nothing_that_was_asked_before():
    sizes = np.arange(20, 60)
    one, again, other = Lanes(sizes, 4, 3, 0), Lanes(sizes, 4, 3, 0), Lanes(sizes, 4, 3, 1)
    late = [x.tolist() for x in again.at(500)]
    assert [x.tolist() for x in one.at(2)] == [x.tolist() for x in again.at(2)]
    assert [x.tolist() for x in one.at(500)] == late
    assert [x.tolist() for x in other.at(2)] != [x.tolist() for x in one.at(2)]


def test_a_lane_without_a_document_is_refused():
    with pytest.raises(ValueError, match="2 documents for 3 lanes"):
        Lanes(np.array([9, 9, 4]), 4, 3, 0)
