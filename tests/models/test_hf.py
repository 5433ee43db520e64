"""Behind the interface of transformers every mixer is the same model: logits, decoding, files, padding."""

import copy
import itertools
import json
import re
import textwrap

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hmlcore.errors import HmlcoreError
from hmlcore.layers import MIXERS
from hmlcore.layers.base import decaying
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.models.generation import Sampling, generate
from hmlcore.training.optim import parameter_groups

transformers = pytest.importorskip("transformers")
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache  # noqa: E402

from hmlcore.models import hf  # noqa: E402
from hmlcore.models.hf import HmlCache, HmlConfig, HmlForCausalLM  # noqa: E402

transformers.utils.logging.disable_progress_bar()
every_mixer = pytest.mark.parametrize("mixer", MIXERS)
# Options that change what a state is or how a token is read.
OPTIONS = [
    ("mamba2", {"rotation": True}),
    ("hml", {"corrections": 2}),
    ("gated_deltanet", {"corrections": 2}),
    ("hml", {"decay": "channel"}),
    ("hml", {"rotors": 2}),
]  # fmt: skip
with_options = pytest.mark.parametrize(("mixer", "arguments"), [*((m, {}) for m in MIXERS), *OPTIONS])
VOCABULARY = 11


def make(mixer="hml", **arguments):
    """Stirred until different tokens are likely at different places."""
    torch.manual_seed(0)
    model = Backbone(BackboneConfig(VOCABULARY, mixer, 16, 2, 24, arguments))
    with torch.no_grad():
        model.embedding.weight.mul_(25)
        for p in model.blocks.parameters():
            p.add_(0.4 * torch.randn_like(p))
    return model


def wrapped(mixer="hml", **arguments):
    return HmlForCausalLM.from_backbone(make(mixer, **arguments)).eval()


def tokens(*shape):
    return torch.randint(VOCABULARY, shape, generator=torch.Generator().manual_seed(1))


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def unbounded(mixer):
    backbone = make(mixer)
    return backbone.state_size(9) != backbone.state_size(5)


@every_mixer
def test_a_round_trip_through_files_changes_no_bit(mixer, tmp_path):
    arguments = {"num_heads": 2} if mixer in ("hml", "attention") else {}
    model = wrapped(mixer, **arguments)
    model.save_pretrained(tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".json", ".safetensors"]
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert type(again) is HmlForCausalLM and not again.training
    assert again.backbone.config == model.backbone.config
    assert AutoConfig.from_pretrained(tmp_path).backbone == model.backbone.config
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    # Not its bits: mapped into memory, weights lie at addresses of which some kernels make another rounding.
    torch.testing.assert_close(again(tokens(2, 9)).logits, model.backbone(tokens(2, 9))[0])
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        kept = [*model.parameters(), *model.buffers()]
        assert len(file.keys()) == len(kept)  # the shared embedding once
    assert decaying(again) == decaying(model)


@pytest.mark.parametrize("dynamics", ["oscillator", "mlp"])
def test_a_folder_is_read_whose_layers_owned_what_dynamics_learn(dynamics, tmp_path):
    model = wrapped(dynamics=dynamics)
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    now = load_file(file)
    former = {name.replace("rule.net.", "well_").replace("rule.", ""): x for name, x in now.items()}
    assert "backbone.blocks.1.mixer." + {"oscillator": "theta", "mlp": "well_out"}[dynamics] in former
    save_file(former, file, {"format": "pt"})
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    again.save_pretrained(tmp_path)
    assert load_file(file).keys() == now.keys()


@with_options
def test_single_steps_are_our_own(mixer, arguments):
    model, x = wrapped(mixer, **arguments), tokens(2, 8)
    with torch.no_grad():
        read = model(x[:, :5], use_cache=True)
        logits, state = model.backbone(x[:, :5])
        assert torch.equal(read.logits, logits)
        cache = read.past_key_values
        for t in range(5, 8):
            ours, state = model.backbone.step(x[:, t], state)
            theirs = model(x[:, t : t + 1], past_key_values=cache)
            cache = theirs.past_key_values
            assert cache.get_seq_length() == t + 1
            assert torch.equal(theirs.logits[:, 0], ours)
    for a, b in zip(cache.states, state, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@every_mixer
def test_greedy_decoding_is_our_own(mixer):
    model, prompt = wrapped(mixer), tokens(2, 7)
    ours = torch.cat((prompt, generate(model.backbone, prompt, 6, Sampling(temperature=0))), 1)
    assert len(ours[:, 7:].unique()) > 2
    for options in ({}, {"use_cache": False}, {"do_sample": True, "top_k": 1}, {"prefill_chunk_size": 3}):
        assert torch.equal(model.generate(prompt, **({"do_sample": False} | options), max_new_tokens=6), ours)


@every_mixer
def test_beams_carry_their_own_memory(mixer, monkeypatch):
    """With the states reordered as when every beam is read anew."""
    model, prompt, orders = wrapped(mixer), tokens(2, 6), []
    reorder = HmlCache.reorder_cache

    def noted(self, beam_idx):
        orders.append(beam_idx.tolist())
        reorder(self, beam_idx)

    monkeypatch.setattr(HmlCache, "reorder_cache", noted)
    asked = {"num_beams": 3, "max_new_tokens": 8, "num_return_sequences": 2, "do_sample": False}
    carried = model.generate(prompt, **asked)
    assert any(order != list(range(6)) for order in orders)
    orders.clear()
    assert torch.equal(carried, model.generate(prompt, **asked, use_cache=False)) and orders == []


def test_sampling_repeats_with_a_seed_and_keeps_to_the_top():
    model, prompt = wrapped(), tokens(1, 6).expand(64, 6)
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(model.generate(prompt, do_sample=True, top_k=3, top_p=0.9, max_new_tokens=1)[:, -1])
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    chances = Sampling(top_k=3, top_p=0.9).probabilities(model.backbone(prompt[:1])[0][0, -1])
    assert set(torch.cat(drawn).tolist()) == set(chances.nonzero()[:, 0].tolist())


def test_a_conversation_goes_on_from_its_cache():
    model, prompt = wrapped(), tokens(2, 6)
    first = model.generate(prompt, do_sample=False, max_new_tokens=4, return_dict_in_generate=True)
    longer = torch.cat((first.sequences, tokens(2, 3)), 1)
    fresh = model.generate(longer, do_sample=False, max_new_tokens=5)
    assert first.past_key_values.get_seq_length() == 9
    goes_on = model.generate(longer, do_sample=False, max_new_tokens=5, past_key_values=first.past_key_values)
    assert torch.equal(goes_on, fresh)


LENGTHS = (3, 6, 3, 1)


def padded(side):
    """Rows of LENGTHS tokens filled up to 6, and their mask."""
    x, mask = tokens(4, 6), torch.zeros(4, 6, dtype=torch.long)
    for row, length in zip(mask, LENGTHS, strict=True):
        row[(6 - length) if side == "left" else 0 : 6 if side == "left" else length] = 1
    return x, mask


def each_with_one_of(name, *values):
    """Every mixer with one of the values, each of which several mixers meet."""
    return pytest.mark.parametrize(("mixer", name), list(zip(MIXERS, itertools.cycle(values), strict=False)))


@every_mixer
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_seen_by_no_memory(mixer, side):
    model, (x, mask) = wrapped(mixer), padded(side)
    with torch.no_grad():
        logits = model(x, attention_mask=mask, use_cache=False).logits
        assert (logits[mask == 0] == 0).all()
        for i in range(4):
            close(logits[i][mask[i] == 1], model(x[i][mask[i] == 1][None]).logits[0])
        if unbounded(mixer):
            with pytest.raises(HmlcoreError, match=rf"mixer '{mixer}' keeps every token, .* without a cache"):
                model(x, attention_mask=mask)
            return
        cache = model(x, attention_mask=mask).past_key_values
        after = model(x[:, :1], attention_mask=F.pad(mask, (0, 1), value=1), past_key_values=cache).logits
        for i in range(4):
            alone = torch.cat((x[i][mask[i] == 1], x[i, :1]))[None]
            close(after[i, 0], model(alone).logits[0, -1])


@every_mixer
def test_generation_of_rows_padded_on_the_left_is_that_of_each_alone(mixer):
    model, (x, mask) = wrapped(mixer), padded("left")
    options = {"use_cache": False} if unbounded(mixer) else {}
    new = model.generate(x, attention_mask=mask, do_sample=False, max_new_tokens=6, **options)[:, 6:]
    for i, length in enumerate(LENGTHS):
        alone = generate(model.backbone, x[i : i + 1, 6 - length :], 6, Sampling(temperature=0))
        assert torch.equal(new[i], alone[0])
    if not options:  # a stretch of the prompt in which a row has no token yet
        chunked = model.generate(
            x, attention_mask=mask, do_sample=False, max_new_tokens=6, prefill_chunk_size=2
        )
        assert torch.equal(chunked[:, 6:], new)


def test_the_loss_is_of_the_next_token():
    model, x = wrapped(), tokens(3, 8)
    labels = x.clone()
    labels[0, :4] = -100
    out = model(x, labels=labels)
    logits = model.backbone(x)[0]
    wanted = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    torch.testing.assert_close(out.loss, wanted)
    counted = int((labels[:, 1:] != -100).sum())
    summed = model(x, labels=labels, num_items_in_batch=torch.tensor(2 * counted)).loss
    torch.testing.assert_close(summed, wanted / 2)
    loss, logits = model(x, labels=labels, return_dict=False, use_cache=False)
    torch.testing.assert_close(loss, wanted)
    assert logits.shape == (3, 8, VOCABULARY)


def test_training_keeps_no_memory_and_reaches_every_weight():
    model = wrapped().train()
    out = model(tokens(2, 8), labels=tokens(2, 8))
    assert out.past_key_values is None
    out.loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@each_with_one_of("dtype", torch.bfloat16, torch.float64)
def test_the_dtype_that_is_asked_for(mixer, dtype, tmp_path):
    torch.manual_seed(0)
    model = HmlForCausalLM.from_backbone(Backbone(BackboneConfig(VOCABULARY, mixer, 16, 2, 24))).eval()
    model.save_pretrained(tmp_path)
    other = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    assert {p.dtype for p in other.parameters()} == {dtype} and other.dtype == dtype
    logits = other(tokens(2, 9)).logits
    assert logits.dtype == dtype
    error = (logits - model(tokens(2, 9)).logits).abs().mean() / logits.std()
    assert error < (0.1 if dtype == torch.bfloat16 else 1e-4)
    assert other.generate(tokens(2, 5), max_new_tokens=3, do_sample=False).shape == (2, 8)


def test_logits_of_chosen_places():
    model, x = wrapped(), tokens(2, 7)
    whole = model(x).logits
    assert torch.equal(model(x, logits_to_keep=2).logits, whole[:, -2:])
    close(model(x, logits_to_keep=torch.tensor([0, 4])).logits, whole[:, [0, 4]])


def test_a_new_configuration_builds_the_model_that_we_would():
    config = HmlConfig(vocab_size=7, mixer="gru", d_model=8, layers=1, d_ff=12, mixer_args={"hidden": 5})
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config)
    torch.manual_seed(3)
    ours = Backbone(BackboneConfig(7, "gru", 8, 1, 12, {"hidden": 5}))
    assert (config.hidden_size, config.num_hidden_layers) == (8, 1)
    for a, b in zip(model.parameters(), ours.parameters(), strict=True):
        assert torch.equal(a, b)


def test_misspelt_fields_of_a_configuration_are_refused_and_those_of_others_kept():
    for wrong, meant in (
        ("mixr", "mixer"),
        ("mixer_arg", "mixer_args"),
        ("num_layers", "layers"),
        ("dff", "d_ff"),
    ):
        with pytest.raises(
            HmlcoreError, match=f"unknown field '{wrong}' of HmlConfig; did you mean '{meant}'?"
        ):
            HmlConfig(**{"my_own_note": "kept", wrong: 1})
    config = HmlConfig(hidden_size=8, pad_token_id=3, architectures=["HmlForCausalLM"], my_own_note="kept")
    assert (config.d_model, config.pad_token_id, config.my_own_note) == (8, 3, "kept")


def test_a_vocabulary_can_grow(tmp_path):
    model = wrapped()
    before = model(tokens(2, 5)).logits
    model.resize_token_embeddings(VOCABULARY + 3)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.backbone.config.vocab_size == again.config.vocab_size == VOCABULARY + 3
    close(again(tokens(2, 5)).logits[..., :VOCABULARY], before)


def test_rows_that_are_added_begin_as_the_others_did():
    model = wrapped()
    model.resize_token_embeddings(VOCABULARY + 100, mean_resizing=False)
    added = model.get_input_embeddings().weight[VOCABULARY:]
    assert added.std().item() == pytest.approx(model.config.embedding_std, rel=0.1)


def test_missing_weights_are_refused(tmp_path):
    wrapped().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["backbone.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(HmlcoreError, match=rf"{tmp_path} lacks weights: backbone.norm.weight"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


def test_weights_of_a_layer_that_was_once_the_default_are_refused(tmp_path):
    """The delta rule has a place for all that an oscillator learns but its angles."""
    wrapped(dynamics="oscillator").save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    said = json.loads(config.read_text())
    assert said["mixer_args"].pop("dynamics") == "oscillator"
    config.write_text(json.dumps(said))
    with pytest.raises(HmlcoreError, match=rf"{tmp_path} has weights that .* no place for: .*rule.theta"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


@pytest.mark.parametrize("load", [AutoModelForCausalLM.from_pretrained, HmlForCausalLM.from_pretrained])
def test_a_configuration_of_more_layers_than_there_are_is_refused_before_it_is_built(load, tmp_path):
    wrapped().save_pretrained(tmp_path, max_shard_size="5KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    # Not to the bit: a product with a matrix of one row is rounded by where in memory a file puts it.
    torch.testing.assert_close(load(tmp_path)(tokens(2, 5)).logits, wrapped()(tokens(2, 5)).logits)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"layers": 2', '"layers": 10000000'))
    with pytest.raises(HmlcoreError, match=rf"{tmp_path} says layers = 10000000, and holds 2 blocks"):
        load(tmp_path)
    shard = min(tmp_path.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(HmlcoreError, match=rf"{shard} is corrupt \("):
        load(tmp_path)


GAPS = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1]])
BAD = {
    "untied": (lambda m: HmlConfig(tie_word_embeddings=False), "tie_word_embeddings must be True, got False"),
    "mixer": (lambda m: HmlForCausalLM(HmlConfig(mixer="no")), "unknown mixer 'no'; known: attention"),
    "no backbone": (lambda m: HmlForCausalLM.from_backbone(m), "backbone must be a Backbone, got HmlForC"),
    "embeddings": (lambda m: m(inputs_embeds=torch.zeros(1, 2, 16)), "inputs_embeds is not supported"),
    "hidden states": (lambda m: m(tokens(2, 4), output_hidden_states=True), "output_hidden_states is not supp"),
    "nothing": (lambda m: m(), r"input_ids must be \[B, T\], got None"),
    "no batch": (lambda m: m(tokens(4)), r"input_ids must be \[B, T\], got \(4,\)"),
    "gaps": (lambda m: m(tokens(2, 4), attention_mask=GAPS), "mask must count tokens .* it has gaps"),
    "mask": (lambda m: m(tokens(2, 5), attention_mask=GAPS), r"attention_mask must be \[B, 5\], got \(2, 4\)"),
    "right": (
        lambda m: m.generate(tokens(2, 4), attention_mask=GAPS.sort(descending=True).values, max_new_tokens=2),
        "attention_mask ends in padding; to generate, pad on the left",
    ),
    "cache": (
        lambda m: m(tokens(2, 4), past_key_values=DynamicCache()),
        "past_key_values must be an HmlCache, got DynamicCache",
    ),
    "static": (
        lambda m: m.generate(tokens(2, 4), cache_implementation="static", max_new_tokens=2),
        "cache_implementation must be None, .* got 'static'",
    ),
    "batches": (
        lambda m: m(tokens(3, 4), past_key_values=m(tokens(2, 4)).past_key_values),
        "past_key_values holds 2 sequences, and input_ids has 3",
    ),
    "typo": (
        lambda m: m(tokens(2, 4), atention_mask=GAPS),
        "unknown argument 'atention_mask' of HmlForCausalLM; did you mean 'attention_mask'?",
    ),
    "nothing like it": (
        lambda m: m(tokens(2, 4), q=1), "unknown argument 'q' of HmlForCausalLM; known: attention_mask, cache_",
    ),
    "experts": (lambda m: m(tokens(2, 4), output_router_logits=True), "output_router_logits is not supported"),
    "backwards": (lambda m: m(tokens(2, 4), is_causal=False), "is_causal must be True, got False"),
    "labels": (
        lambda m: m(tokens(2, 4), labels=tokens(2, 3)),
        r"labels must be of the shape of input_ids, \(2, 4\), got \(2, 3\)",
    ),
    "labels of some": (
        lambda m: m(tokens(2, 4), labels=tokens(2, 4), logits_to_keep=2),
        "logits_to_keep must be 0 with labels, got 2",
    ),
    "shorter than read": (
        lambda m: m.generate(tokens(2, 4), past_key_values=m(tokens(2, 4)).past_key_values, max_new_tokens=2),
        "past_key_values has read 4 tokens; input_ids must be those and what follows, .* got 4",
    ),
    "crop": (lambda m: m(tokens(2, 4)).past_key_values.crop(1), "a cache of states cannot take back 1 tokens"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_supported_is_refused(case):
    call, message = BAD[case]
    with pytest.raises(HmlcoreError, match=message):
        call(wrapped("gru"))


def test_assisted_generation_is_refused():
    model = wrapped("gru")
    with pytest.raises(ValueError, match="not supported with stateful models, such as HmlForCausalLM"):
        model.generate(tokens(1, 4), assistant_model=wrapped("gru"), max_new_tokens=3)


@every_mixer
def test_a_cache_is_stored_without_what_was_read(mixer):
    """After a long prompt, padded rows, a token more, and a choice of rows."""

    def check(cache, rows, length):
        stored = sum(part.untyped_storage().nbytes() for block in cache.states for part in block)
        assert stored == 4 * rows * model.backbone.state_size(length)
        return cache

    model, x = wrapped(mixer), tokens(2, 100)
    with torch.no_grad():
        cache = check(model(x).past_key_values, 2, 100)
        cache = check(model(x[:, :1], past_key_values=cache).past_key_values, 2, 101)
        cache.batch_select_indices(torch.tensor([1]))
        check(cache, 1, 101)
        if not unbounded(mixer):
            mask = (torch.arange(100) >= torch.tensor([[0], [60]])).long()
            check(model(x, attention_mask=mask).past_key_values, 2, 100)


def test_a_cache_can_be_multiplied_chosen_from_and_emptied():
    model, x = wrapped(), tokens(3, 5)
    cache = model(x).past_key_values
    cache.batch_repeat_interleave(2)
    assert cache.batch_size == 6
    cache.batch_select_indices(torch.tensor([5, 0]))
    after = model(x[:2, :1], past_key_values=cache).logits[:, 0]
    close(after, model(torch.cat((x[[2, 0]], x[:2, :1]), 1)).logits[:, -1])
    cache.reset()  # even of one that is used
    assert (cache.batch_size, cache.get_seq_length()) == (-1, 0)
    close(model(x, past_key_values=cache).logits, model(x).logits)


USED = "past_key_values was used by an earlier call; go on from the past_key_values that it returned, or"
GOING_ON = {
    "read": lambda m, x, cache: m(x, past_key_values=cache).logits,
    "step": lambda m, x, cache: m(x[:, :1], past_key_values=cache).logits,
    "padded": lambda m, x, cache: (
        m(x, attention_mask=torch.tensor([[0, 1, 1], [1, 1, 1]]), past_key_values=cache).logits
    ),
    "greedy": lambda m, x, cache: goes_on(m, x, cache, do_sample=False),
    "beams": lambda m, x, cache: (
        cache.batch_repeat_interleave(3), goes_on(m, x, cache, num_beams=3, do_sample=False),
    )[1],
    "chunks": lambda m, x, cache: goes_on(m, x, cache, do_sample=False, prefill_chunk_size=2),
    "reordered": lambda m, x, cache: (
        cache.reorder_cache(torch.tensor([1, 0])), m(x, past_key_values=cache).logits,
    )[1],
}  # fmt: skip


def goes_on(model, x, cache, **options):
    """What is generated after x, and the four tokens before it that `cache` has read."""
    return model.generate(torch.cat((tokens(2, 4), x), 1), past_key_values=cache, max_new_tokens=3, **options)


@pytest.mark.parametrize("way", GOING_ON)
@torch.no_grad()
def test_a_cache_is_used_once_and_its_copies_go_on_alike(way):
    model, x = wrapped(), tokens(2, 7)[:, 4:]
    cache = model(tokens(2, 4)).past_key_values
    copies = [copy.deepcopy(cache) for _ in range(2)]
    wanted = GOING_ON[way](model, x, cache)
    for again in (cache.reorder_cache, copy.deepcopy, lambda c: GOING_ON[way](model, x, c)):
        with pytest.raises(HmlcoreError, match=USED):
            again(cache)
    for other in copies:
        assert torch.equal(GOING_ON[way](model, x, other), wanted)


@torch.no_grad()
def test_a_call_that_returns_no_memory_or_fails_uses_none():
    model, x = wrapped(), tokens(2, 3)
    cache = model(tokens(2, 4)).past_key_values
    alike = [model(x, past_key_values=cache, use_cache=False).logits for _ in range(2)]
    with pytest.raises(IndexError):
        model(x + VOCABULARY, past_key_values=cache)
    after = model(x, past_key_values=cache)
    assert torch.equal(alike[0], alike[1]) and torch.equal(alike[0], after.logits)
    assert after.past_key_values.get_seq_length() == 7


def test_what_the_configuration_asks_for_is_given_or_refused():
    model, x = wrapped(), tokens(2, 5)
    model.config.return_dict = False
    logits, cache = model(x)
    assert torch.equal(logits, model(x, return_dict=True).logits) and isinstance(cache, HmlCache)
    assert model.generate(x, do_sample=False, max_new_tokens=2).shape == (2, 7)
    model.config.output_hidden_states = True
    with pytest.raises(HmlcoreError, match="output_hidden_states is not supported by HmlForCausalLM"):
        model(x)


@pytest.mark.parametrize(
    "options",
    [
        {"guidance_scale": 1.5},
        {"guidance_scale": 1.5, "use_cache": False},
        {"num_beams": 3, "prefill_chunk_size": 2},
        {"num_beams": 2, "position_ids": torch.arange(2, 8)[None].expand(2, 6)},
        {"output_scores": True, "output_logits": True, "return_dict_in_generate": True},
        {"attention_mask": torch.ones(2, 6, dtype=torch.bool), "repetition_penalty": 1.2},
    ],
)
def test_whatever_generate_passes_is_known(options):
    assert len(wrapped().generate(tokens(2, 6), do_sample=False, max_new_tokens=3, **options)) > 0


def own_trainer():
    """The class of the module's docstring."""
    example = re.search(r"    (from transformers import Trainer\n.*?)\n\n\S", hf.__doc__, re.DOTALL)[1]
    scope = {}
    exec(textwrap.dedent("    " + example), scope)
    return scope["OurTrainer"]


@pytest.mark.parametrize("mixer", ["hml", "hyena", "linoss", "mamba2"])
def test_a_trainer_that_asks_us_decays_what_we_decay(mixer):
    """Left to itself it goes by names and shrinks what moves a memory."""
    model, trainer = wrapped(mixer), own_trainer()
    asked = set(trainer.get_decay_parameter_names(None, model))
    shrunk = {id(p) for p in parameter_groups(model.backbone, 0.1)[0]["params"]}
    assert {id(p) for name, p in model.named_parameters() if name in asked} == shrunk
    assert set(transformers.Trainer.get_decay_parameter_names(None, model)) - asked
    assert model.config.keys_to_ignore_at_inference == ["past_key_values"]  # a list, to which it adds another


def test_a_trainer_runs_with_our_decay_and_loss(tmp_path):
    pytest.importorskip("accelerate")
    model = wrapped()
    arguments = transformers.TrainingArguments(
        str(tmp_path), max_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=2,
        weight_decay=0.1, report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True,
        eval_strategy="steps", eval_steps=1, logging_steps=1,
    )  # fmt: skip
    data = [{"input_ids": tokens(1, n + 3)[0]} for n in range(8)]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = own_trainer()(
        model, arguments, transformers.DataCollatorWithFlattening(), train_dataset=data, eval_dataset=data
    )
    trainer.train()
    groups = [(len(g["params"]), g["weight_decay"]) for g in trainer.optimizer.param_groups]
    assert groups == [(len(g["params"]), g["weight_decay"]) for g in parameter_groups(model.backbone, 0.1)]
    assert all(not torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(0 < log["eval_loss"] < 20 for log in trainer.state.log_history if "eval_loss" in log)


def byte_tokenizer():
    """Each byte is a token of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=letters[0], pad_token=letters[0]
    )


def test_lm_evaluation_harness_scores_what_we_score():
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    torch.manual_seed(0)
    model = HmlForCausalLM.from_backbone(Backbone(BackboneConfig(256, "hml", 16, 2, 24)), max_length=64).eval()
    tokenizer = byte_tokenizer()
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2, max_length=64, device="cpu")
    pairs = [("Once upon", " a time"), ("To be or", " not")]
    asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    for (context, rest), (score, _) in zip(pairs, harness.loglikelihood(asked), strict=True):
        x = torch.tensor([tokenizer(context + rest)["input_ids"]])
        chances = model.backbone(x[:, :-1])[0].log_softmax(-1).gather(-1, x[:, 1:, None])[0, :, 0]
        assert score == pytest.approx(chances[-len(rest) :].sum().item(), rel=1e-4)
