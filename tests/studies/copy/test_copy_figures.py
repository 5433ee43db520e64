"""Figures of copy: means, what was trained on, and each seed."""

import pytest
from made_up_results import MIXERS, loaded

from hmlcore.studies.copy.figures import copy_curves, copy_heatmaps


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
