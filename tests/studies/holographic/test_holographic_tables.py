"""Tables of the holographic memory, and the list of what its source promises."""

import re

import pytest
import torch
from made_up_results import fill_holographic, loaded

from hmlcore.models import Backbone
from hmlcore.results import Store
from hmlcore.studies.holographic import checklist, sizes, tables


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fill_holographic(Store(tmp_path_factory.mktemp("holographic")))


def words(table):
    return re.sub(r"<[^>]+>|\s+", " ", table.html)


def test_a_quick_training_is_told_in_bits_a_byte_and_the_perplexity_of_a_word(store):
    told = words(tables.holographic_text(loaded(store, "holographic_text")))
    assert re.search(r"holographic +5\.00 +3\.00 +2\.000 +1\.02e\+03", told)  # 2 bits of 5 bytes, to the power
    assert "2.500 bits a byte" in told


def test_a_step_is_told_of_the_size_it_was_made_with(store):
    told = words(tables.holographic_sizes(loaded(store, "holographic_sizes")))
    assert re.search(r"21 M +21,000,000 +391 KiB +84 M +954 MiB +30 s", told) and "2,048 tokens" in told
    assert re.search(r"50 M +50,000,000 +391 KiB +200 M *(caption|made-up|$|[^0-9])", told)


def test_recall_from_a_stored_state_is_told_by_format(store):
    told = words(tables.stored_reading(loaded(store, "holographic_tasks")))
    assert re.search(r"fp32 +0\.901 ± 0\.001 +fp16 +0\.891 ± 0\.001 +int8 +0\.881", told)


def test_variants_that_were_not_asked_have_an_empty_cell(store):
    told = words(tables.holographic_parts(loaded(store, "holographic_ablation")))
    assert re.search(r"loss at lag 0 +0\.901 ± 0\.001 +0\.1 +0\.250 +16 KiB", told)
    assert re.search(r"unitary +0\.901 ± 0\.001 +0\.901 ± 0\.001 +16 KiB", told)


@pytest.mark.parametrize("millions", sizes.SIZES)
def test_sizes_are_what_they_are_called(millions):
    with torch.device("meta"):
        count = Backbone(sizes.config(millions)).parameter_count
    assert count == pytest.approx(millions * 10**6, rel=0.01)


def test_fifteen_things_are_looked_for_and_what_was_decided_stands_beside():
    before = checklist.checklist({})
    assert list(before["item"]) == [f"HAMT‑{n}" for n in range(1, 16)]
    assert all(state.startswith("there") for state in before["state"])
    assert checklist.WAITS in before["state"][14]
    after = checklist.checklist({"holographic_cost.described_is_cheaper": "refuted, it costs more"})
    assert "described is cheaper: refuted, it costs more" in after["state"][14]


def test_what_is_not_there_is_said():
    assert checklist.is_there("hmlcore.ops.holographic.bind") and checklist.is_there("hmlcore.training.tbptt")
    assert not checklist.is_there("hmlcore.ops.holographic.rind")
    assert not checklist.is_there("hmlcore.layers.consolidation")


def test_every_claim_of_the_list_is_one_of_the_study():
    from hmlcore.studies.holographic.claims import CLAIMS

    named = {name for item in checklist.ITEMS for name in item.claims}
    assert named <= {claim.name for claim in CLAIMS}
