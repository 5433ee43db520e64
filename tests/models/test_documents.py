"""Documents that share a row never see one another, however a data collator says where they begin."""

import re

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.layers import MIXERS

transformers = pytest.importorskip("transformers")
from transformers import DataCollatorWithFlattening  # noqa: E402

from hmlcore.models import Backbone, BackboneConfig  # noqa: E402
from hmlcore.models.hf import HmlForCausalLM  # noqa: E402

VOCABULARY = 11
LENGTHS = (4, 1, 6)
PACKING = [(name, {}) for name, mixer in MIXERS.items() if mixer.packs]
PACKING += [("hml", {"dynamics": "sep"}), ("hml", {"dynamics": "mlp"}), ("hml", {"rotation_heads": 2})]
APART = [name for name, mixer in MIXERS.items() if not mixer.packs]


def make(mixer="hml", arguments=None):
    torch.manual_seed(0)
    backbone = Backbone(BackboneConfig(VOCABULARY, mixer, 16, 2, 24, arguments or {}))
    with torch.no_grad():
        for p in backbone.parameters():
            p.add_(0.4 * torch.randn_like(p))
    return HmlForCausalLM.from_backbone(backbone).eval()


def documents():
    draw = torch.Generator().manual_seed(1)
    return [torch.randint(VOCABULARY, (n,), generator=draw) for n in LENGTHS]


def positions(*lengths, start=0):
    return torch.cat([torch.arange(start, start + n) for n in lengths])[None]


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def alone(model):
    return torch.cat([model(x[None]).logits for x in documents()], 1)


@pytest.mark.parametrize(("mixer", "arguments"), PACKING)
def test_packed_documents_are_each_as_alone(mixer, arguments):
    model, x = make(mixer, arguments), torch.cat(documents())[None]
    with torch.no_grad():
        together = model(x).logits
        packed = model(x, position_ids=positions(*LENGTHS))
        of_all_rows = model(x, position_ids=positions(*LENGTHS)[0])
    wanted = alone(model)
    assert torch.equal(of_all_rows.logits, packed.logits)
    assert (together - wanted).abs().max() > 0.1 and packed.past_key_values is None
    close(packed.logits, wanted)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"return_flash_attn_kwargs": True},
        {"return_seq_idx": True},
        {"return_position_ids": False, "return_seq_idx": True},
        {"return_position_ids": False, "return_flash_attn_kwargs": True},
        {"return_flash_attn_kwargs": True, "return_seq_idx": True, "position_ids_start": 2},
    ],
)
def test_what_the_flattening_collator_gives_is_read(options):
    model = make()
    batch = DataCollatorWithFlattening(**options)([{"input_ids": x} for x in documents()])
    with torch.no_grad():
        found = model(**batch)
    close(found.logits, alone(model))
    losses = torch.stack(
        [model(x[None], labels=x[None]).loss * (len(x) - 1) for x in documents() if len(x) > 1]
    )
    close(found.loss, losses.sum() / sum(n - 1 for n in LENGTHS))


def test_every_row_may_hold_documents_and_padding():
    model = make()
    a, b, c = documents()
    x, mask = torch.zeros(2, 8, dtype=torch.long), torch.zeros(2, 8, dtype=torch.long)
    x[0, 1:6], x[1, :7] = torch.cat((a, b)), torch.cat((b, c))
    mask[0, 1:6] = mask[1, :7] = 1
    where = torch.zeros(2, 8, dtype=torch.long)
    where[0, 1:6], where[1, :7] = positions(4, 1)[0], positions(1, 6)[0]
    with torch.no_grad():
        logits = model(x, attention_mask=mask, position_ids=where).logits
        for row, columns, document in ((0, slice(1, 5), a), (0, slice(5, 6), b), (1, slice(1, 7), c)):
            close(logits[row, columns], model(document[None]).logits[0])
    assert (logits[mask == 0] == 0).all()


def test_gradients_stay_within_their_document():
    model, x = make(), torch.cat(documents())[None]
    seen = []
    model.backbone.embedding.register_forward_hook(lambda _m, _i, out: seen.append(out) or out.retain_grad())
    model(x, position_ids=positions(*LENGTHS)).logits[0, 5:].square().sum().backward()
    reached = seen[0].grad[0].abs().sum(-1) > 0
    assert reached.tolist() == [False] * 5 + [True] * 6


@pytest.mark.parametrize("mixer", APART)
def test_a_mixer_that_cannot_keep_documents_apart_refuses_them(mixer):
    model, x = make(mixer), torch.cat(documents())[None]
    with pytest.raises(HmlcoreError, match=f"3 documents share a row, and mixer '{mixer}' cannot keep"):
        model(x, position_ids=positions(*LENGTHS))
    one = {"position_ids": positions(11, start=3), "seq_idx": torch.zeros(1, 11, dtype=torch.int32)}
    assert torch.equal(model(x, **one, cu_seq_lens_q=torch.tensor([0, 11])).logits, model(x).logits)


def test_generation_goes_on_from_the_last_document():
    model, x = make(), torch.cat(documents())[None]
    options = {"do_sample": False, "max_new_tokens": 5}
    with pytest.raises(HmlcoreError, match=r"use_cache must be False, .* where documents share a row"):
        model.generate(x, position_ids=positions(*LENGTHS), **options)
    new = model.generate(x, position_ids=positions(*LENGTHS), use_cache=False, **options)
    assert torch.equal(new[0, 11:], model.generate(documents()[2][None], **options)[0, 6:])


EIGHT = torch.arange(8)[None]
BAD = {
    "gap": (
        {"position_ids": positions(4, 4).where(EIGHT < 6, 9)},
        "position_ids must rise by one, or begin .* 0; they go from 1 to 9",
    ),
    "shape": ({"position_ids": EIGHT[:, :5]}, r"position_ids must be \[B, 8\], .* \[8\], got \(1, 5\)"),
    "rows": ({"seq_idx": EIGHT[0, :5]}, r"seq_idx must be .* or \[8\], got \(5,\)"),
    "kind": ({"position_ids": EIGHT / 2}, "position_ids must be integers, got torch.float32"),
    "bounds": ({"cu_seq_lens_q": torch.tensor([0, 3])}, r"cu_seqlens must rise from 0 to 8, got \[0, 3\]"),
    "keys": (
        {"cu_seq_lens_q": torch.tensor([0, 3, 8]), "cu_seq_lens_k": torch.tensor([0, 4, 8])},
        "cu_seq_lens_q and cu_seq_lens_k begin documents at different places",
    ),
    "two ways": (
        {"position_ids": positions(4, 4), "seq_idx": EIGHT // 3},
        "position_ids and seq_idx begin documents at different places",
    ),
    "four dimensions": (
        {"attention_mask": torch.ones(1, 1, 8, 8)},
        r"attention_mask must be \[B, 8\], got \(1, 1, 8, 8\)",
    ),
    "numbered": ({"attention_mask": 1 + EIGHT // 4}, r"attention_mask must be 0 or 1, got \[2\]"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_says_no_documents_is_refused(case):
    given, message = BAD[case]
    with pytest.raises(HmlcoreError, match=message):
        make()(EIGHT, **given)


def test_positions_go_on_where_the_memory_stands():
    model, (_, _, x) = make(), documents()
    x = x[None]
    for start in (0, 2):
        after = model(x[:, :4], position_ids=positions(4, start=start)).past_key_values
        with pytest.raises(HmlcoreError, match=rf"position_ids must go on at \[{start + 4}\].*, got \[0\]"):
            model(x[:, 4:], position_ids=positions(2), past_key_values=after, use_cache=False)
        with pytest.raises(HmlcoreError, match="past_key_values None, where documents share a row"):
            model(x[:, 4:], position_ids=positions(1, 1), past_key_values=after, use_cache=False)
        rest = model(x[:, 4:], position_ids=positions(2, start=start + 4), past_key_values=after).logits
        close(rest, model(x).logits[:, 4:])
    with pytest.raises(HmlcoreError, match=re.escape("cache_position must be 4 … 5, got [0, 1]")):
        model(x[:, 4:], cache_position=torch.arange(2), past_key_values=model(x[:, :4]).past_key_values)
    close(model(x, cache_position=torch.arange(6)).logits, model(x).logits)
