"""The sparse model: decoding is reading to the bit, streams are their own, what is written is found again."""

from dataclasses import replace

import pytest
import torch
from one_law import one_pass_as_cut, same

from hmlcore.errors import HmlcoreError
from hmlcore.layers import recording
from hmlcore.models import (
    Backbone,
    BackboneConfig,
    Classifier,
    Sparse,
    SparseConfig,
    map_state,
    match_parameters,
)
from hmlcore.models.generation import generate
from hmlcore.models.padding import read_padded
from hmlcore.models.saved import load_model, save_model
from hmlcore.models.sparse.addresses import ADDRESSES
from hmlcore.models.sparse.gates import GATES
from hmlcore.models.sparse.memory import Cues
from hmlcore.models.sparse.sizes import SIZES
from hmlcore.training.objective import scored_sums

CONFIG = SparseConfig(
    50, d_model=16, layers=2, d_ff=16, mixer_args={"window": 8, "num_heads": 2}, chunk=8, buckets=8, ways=4,
    slot_dim=8, top=4, density=0.3,
)  # fmt: skip
CASES = [(gate, "hash", "value") for gate in GATES]
CASES += [
    ("surprisal", address, evict) for address, evict in zip(ADDRESSES, ("random", "oldest") * 3, strict=True)
]


def built(seed=0, **changes) -> Sparse:
    """A model whose memory speaks from the start."""
    torch.manual_seed(seed)
    model = replace(CONFIG, **changes).build().eval()
    torch.nn.init.normal_(model.memory.out_proj.weight)
    return model


def drawn(batch=3, length=27, seed=1):
    return torch.randint(CONFIG.vocab_size, (batch, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize(("gate", "address", "evict"), CASES)
def test_one_pass_any_chunking_and_single_steps_agree_to_the_bit(gate, address, evict):
    model = built(gate=gate, address=address, evict=evict, density=None if gate == "every" else 0.3)
    state = one_pass_as_cut(model, drawn(), [5, 1, 12, 9], 10)
    assert (state[-1].time >= 0).any() and (state[-1].filled == 3).all()


@torch.no_grad()
def test_the_past_does_not_know_the_future():
    model, tokens = built(), drawn()
    other = tokens.clone()
    other[:, 19] = (other[:, 19] + 1) % CONFIG.vocab_size
    one, two = model(tokens)[0], model(other)[0]
    assert torch.equal(one[:, :19], two[:, :19]) and not torch.equal(one[:, 19:], two[:, 19:])


@torch.no_grad()
def test_streams_never_share_memory():
    model, tokens = built(), drawn()
    other = tokens.clone()
    other[1] = drawn(1, seed=5)[0]
    one, two = model(tokens)[0], model(other)[0]
    assert torch.equal(one[[0, 2]], two[[0, 2]]) and not torch.equal(one[1], two[1])
    torch.testing.assert_close(model(tokens[1:2])[0], one[1:2], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_rows_at_different_places_of_their_chunk_go_on_together():
    model, tokens = built(), drawn()
    mask = torch.ones_like(tokens)
    mask[1, :6] = 0
    hidden, state = read_padded(model, tokens, mask)
    assert state[-1].filled.tolist() == [3, 5, 3]
    more = drawn(3, 9, seed=7)
    found, after = model(more, state)
    alone, _ = model(torch.cat((tokens[1:2, 6:], more[1:2]), 1))
    torch.testing.assert_close(found[1], alone[0, -9:], rtol=1e-4, atol=1e-5)
    assert after[-1].filled.tolist() == [4, 6, 4] and not hidden[1, :6].any()


@torch.no_grad()
def test_a_slot_holds_what_followed_its_cue():
    """By hash: the bucket of the id before, the id itself, and its place."""
    model = built(gate="every", density=None, ways=8, address="hash")
    tokens = drawn(1, 24)
    _, state = model(tokens)
    slots, ids = state[-1].slots, tokens[0]
    for n, w in (slots.time[0] >= 0).nonzero().tolist():
        t = int(slots.time[0, n, w])
        assert ids[t] == slots.ids[0, n, w]
        assert int(model.memory.address.read(None, ids[None, t - 1])[0, 0]) == n
    with recording(model) as traces:
        model(tokens)
    trace = traces[""]
    assert not trace["open"][0, 0, ...].any() and trace["open"][0, 1:].all()
    changed = int((slots.time >= 0).sum()) + int((trace["evicted"] >= 0).sum())
    assert changed <= int(trace["stands"].sum()) <= 23


@torch.no_grad()
def test_recording_changes_nothing():
    model, tokens = built(), drawn()
    with recording(model):
        found = model(tokens)[0]
    assert torch.equal(found, model(tokens)[0])


def test_gradients_reach_everything_that_is_learned():
    for changes in ({"gate": "salience"}, {"gate": "heads", "address": "centroids", "contrast": 0.5}):
        model = built(**changes).train()
        sums = scored_sums(model, type("B", (), {"inputs": drawn(), "targets": drawn(seed=2)}))
        sums.nats.backward()
        silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert silent == [] and all(p.grad.isfinite().all() for p in model.parameters())


def test_contrast_joins_whatever_is_minimised():
    for weight in (0.0, 1.0):
        model = built(contrast=weight, gate="every", density=None).train()
        hidden, _ = model.hidden(drawn(2, 24) % 7)
        (0 * hidden.sum()).backward()
        assert (model.memory.to_key.weight.grad.abs().sum() > 0) == bool(weight)


def test_contrast_is_less_where_the_nearest_slots_hold_what_came():
    model = built()
    slots = model.init_state(1)[-1].slots
    slots.keys[0, 0, :2] = torch.eye(8)[:2]
    slots.time[0, 0, :2], slots.ids[0, 0, :2] = 1, torch.tensor([5, 6], dtype=torch.int32)
    cues = Cues(torch.eye(8)[None, :2], None, None, None)
    right, wrong, unknown = (
        float(model.memory.contrast(cues, torch.tensor([ids]), slots)) for ids in ([5, 6], [6, 5], [7, 7])
    )
    assert right == pytest.approx(4.54e-5, rel=0.01) and wrong == pytest.approx(10.0, rel=0.01) and unknown == 0


def test_without_a_word_from_the_memory_it_is_the_window_alone():
    """W_o = 0 at the start, and the weights of the blocks are those of the plain backbone of the same seed."""
    torch.manual_seed(0)
    model = CONFIG.build().eval()
    torch.manual_seed(0)
    names = ("vocab_size", "mixer", "d_model", "layers", "d_ff", "mixer_args", "embedding_std")
    plain = Backbone(BackboneConfig(**{name: getattr(CONFIG, name) for name in names})).eval()
    tokens = drawn()
    with torch.no_grad():
        torch.testing.assert_close(model(tokens)[0], plain(tokens)[0], rtol=1e-5, atol=1e-5)


def test_it_is_saved_matched_generated_and_no_classifier(tmp_path):
    model, tokens = built(address="centroids"), drawn()
    save_model(tmp_path / "model", model)
    loaded = load_model(tmp_path / "model").model.eval()
    assert isinstance(loaded, Sparse)
    with torch.no_grad():
        assert torch.equal(loaded(tokens)[0], model(tokens)[0])
    assert generate(model, tokens, 4).shape == (3, 4)
    matched = match_parameters(CONFIG, 12_000)
    assert isinstance(matched, SparseConfig) and abs(matched.build().parameter_count - 12_000) < 120
    with pytest.raises(
        HmlcoreError, match="config must be a plain BackboneConfig for a label, got a SparseConfig"
    ):
        Classifier(CONFIG, 2)


def test_the_state_is_bounded_and_its_bytes_are_counted():
    narrow, wide = built(slot_dtype="bf16"), built()
    plain = wide.state_size(9) - -(-wide.init_state(1)[-1].bytes() // 4)
    assert plain == sum(block.mixer.state_size(9) for block in wide.blocks)
    assert wide.state_size(9) == wide.state_size(10**6)
    slots, width = CONFIG.buckets * CONFIG.ways, 2 * CONFIG.slot_dim + 2
    assert 4 * (wide.state_size(9) - narrow.state_size(9)) == 2 * slots * width
    with torch.no_grad():
        _, state = narrow(drawn())
    assert state[-1].keys.dtype == torch.bfloat16
    assert all(x.shape == y.shape for a, b in zip(state, narrow.init_state(3), strict=True)
               for x, y in zip(a, b, strict=True))  # fmt: skip


def test_the_headline_sizes_fit_their_memory():
    """1B and 3B, on the meta device: parameters, and a memory of 16,384 slots of 512 in bf16."""
    for name, config in SIZES.items():
        with torch.device("meta"):
            model = config.build()
        assert 0.9 < model.parameter_count / (int(name[:-1]) * 1e9) < 1.15
        slots = model.init_state(1)[-1].slots
        assert slots.keys[0].numel() * 2 == 512 * 32 * 512 * 2 and slots.keys.dtype == torch.bfloat16
        kept = sum(x.numel() * x.element_size() for x in (slots.keys, slots.values))
        assert kept == 33_554_432


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixer_args": {"window": 12, "num_heads": 2}}, "divide the window .* chunk = 8 and window = 12"),
        ({"ways": 0}, "ways must be at least 1, got 0"),
        ({"top": 5}, "top must be at most the 4 slots that a token reads, got 5"),
        ({"buckets": 10**5, "ways": 10**5}, "slot_dim must be at most 2147483647, got 100000 · 100000 · 8"),
        ({"density": 1.0}, "density must be above 0 and below 1, got 1.0"),
        ({"gate": "every"}, "density must be None for gate 'every', which writes everything, got 0.3"),
        ({"gate": "moon"}, "unknown gate 'moon'; known: after_read, compression, every"),
        ({"gate_args": {"phase": 1}}, "unknown argument of gate 'surprisal' 'phase'"),
        ({"gate": "rare", "gate_args": {"rare_from": 50}}, "rare_from must be below the 50 ids .*, got 50"),
        ({"address": "dual", "buckets": 7}, "buckets must be even for address 'dual', got 7"),
        ({"address": "centroids", "address_args": {"top": 9}}, "top must be at most the 8 buckets, got 9"),
        ({"address": "tree", "address_args": {"top": 9}}, "top must be at most the 8 buckets, got 9"),
        ({"address": "tree", "address_args": {"branches": 3}}, "branches must divide the 8 buckets .*, got 3"),
    ],
)  # fmt: skip
def test_refusals_of_configurations(changes, message):
    with pytest.raises(HmlcoreError, match=message):
        replace(CONFIG, **changes).build()


def test_refusals_of_calls():
    model, tokens = built(address="centroids"), drawn()
    with pytest.raises(HmlcoreError, match=r"tokens must lie within 0 … 49, got some within 0 … 50"):
        model(torch.tensor([[0, 50]]))
    with pytest.raises(HmlcoreError, match="state must be of chunks of 8 tokens, got one of 4"):
        model(tokens, built(chunk=4).init_state(3))
    with pytest.raises(HmlcoreError, match=r"codebook must be \[buckets, slot_dim\] = \[8, 8\], got \(8, 7\)"):
        model.memory.address.set_codebook(torch.ones(8, 7))
    with pytest.raises(HmlcoreError, match="cu_seqlens must be None"):
        model(tokens, cu_seqlens=[0, 27])
    # Nothing is lost by what is refused.
    _, state = model(tokens)
    kept = map_state(torch.Tensor.clone, state)
    with pytest.raises(HmlcoreError):
        model(torch.tensor([[0], [99], [0]]), state)
    assert same(kept, state)


EVERY = pytest.mark.parametrize(("gate", "address", "evict"), CASES)


def of(gate, address, evict) -> Sparse:
    return built(gate=gate, address=address, evict=evict, density=None if gate == "every" else 0.3)


@EVERY
def test_a_state_is_stored_without_what_computed_it(gate, address, evict):
    model, tokens = of(gate, address, evict), drawn()
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            begun = model.init_state(3)
            _, read = model(tokens)
            _, gone_on = model(tokens[:, :11], read)
            _, stepped = model.step(tokens[:, 0], read)
            _, apart = model(tokens[:, :9], map_state(lambda *x: torch.cat([y[:1] for y in x]), read, begun))
        for how, state in enumerate((begun, read, gone_on, stepped, apart)):
            for part in state:
                for name, x in part._asdict().items():
                    assert x.untyped_storage().nbytes() == x.nbytes, (how, name)


@EVERY
def test_a_batch_of_none_is_a_batch(gate, address, evict):
    model = of(gate, address, evict)
    tokens = torch.zeros(0, 19, dtype=torch.long)
    logits, state = model(tokens)
    step, _ = model.step(tokens[:, 0], state)
    assert logits.shape == (0, 19, CONFIG.vocab_size) and step.shape == (0, CONFIG.vocab_size)
    logits.sum().backward()
    assert all(p.grad is None or p.grad.count_nonzero() == 0 for p in model.parameters())


@EVERY
def test_fp16_is_finite_where_a_key_has_no_length(gate, address, evict):
    """Zeros: in fp16 their length bounded from below is 0 as well."""
    model, tokens = of(gate, address, evict), drawn()
    torch.nn.init.zeros_(model.memory.to_key.weight)
    with torch.autocast("cpu", torch.float16):
        mixed, _ = model.train()(tokens)
    grads = torch.autograd.grad(mixed.float().mean(), list(model.parameters()), allow_unused=True)
    narrow, state = model.eval().half()(tokens)
    assert all(x.isfinite().all() for x in (mixed, narrow, *(x for part in state for x in part)))
    assert all(g is None or g.isfinite().all() for g in grads)


def test_a_nan_stays_in_its_stream():
    model, tokens = built(), drawn()
    with torch.no_grad():
        clean, _ = model(tokens)
        _, state = model(tokens[:, :16])
        state[-1].values[0, 0, 0] = torch.nan
        spoilt, _ = model(tokens[:, 16:], state)
    assert torch.equal(spoilt[1:], clean[1:, 16:])


def test_behind_the_interface_of_transformers(tmp_path):
    """Saved, loaded and generated from, rows of different lengths side by side."""
    hf = pytest.importorskip("hmlcore.models.hf")
    model, tokens = built(gate="random", address="centroids"), drawn(2, 21)
    hf.HmlForCausalLM.from_backbone(model).save_pretrained(tmp_path)
    loaded = hf.HmlForCausalLM.from_pretrained(tmp_path).eval()
    assert isinstance(loaded.backbone, Sparse) and loaded.backbone.config == model.config
    with torch.no_grad():
        torch.testing.assert_close(loaded(tokens).logits, model(tokens)[0], rtol=1e-5, atol=1e-5)
    mask = torch.ones_like(tokens)
    mask[0, :6] = 0
    options = {"attention_mask": mask, "max_new_tokens": 5, "do_sample": False}
    found = loaded.generate(tokens, **options)[:, 21:]
    alone = loaded.generate(tokens[:1, 6:], max_new_tokens=5, do_sample=False)[:, 15:]
    assert torch.equal(found[:1], alone)
    with pytest.raises(HmlcoreError, match=r"gate counts \d+ ids: the vocabulary cannot become 99"):
        loaded.resize_token_embeddings(99)


def test_the_window_that_is_meant_where_none_is_given_is_the_layers_own():
    with pytest.raises(HmlcoreError, match="got chunk = 48 and window = 64"):
        SparseConfig(32, d_model=16, mixer_args={"num_heads": 2}, chunk=48)
