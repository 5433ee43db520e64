"""Generation: what may be drawn, that it repeats, and that it costs no more memory the longer it gets."""

import itertools

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.layers import MIXERS
from hmlcore.models import Backbone, BackboneConfig, Classifier
from hmlcore.models.generation import Sampling, generate, read, stream, stream_text
from hmlcore.tasks.bpe import ByteTokenizer

BYTES = ByteTokenizer()

every_mixer = pytest.mark.parametrize("mixer", MIXERS)
# By hand, in no order: ranks are 1, 3, 0, 4, 2.
CHANCES = torch.tensor([0.25, 0.10, 0.40, 0.05, 0.20], dtype=torch.float64)


def make(mixer="hml", vocab=11, layers=2):
    """Stirred until different tokens are likely at different places."""
    torch.manual_seed(0)
    model = Backbone(BackboneConfig(vocab, mixer, 16, layers, 24))
    with torch.no_grad():
        model.embedding.weight.mul_(25)
        for p in model.blocks.parameters():
            p.add_(0.4 * torch.randn_like(p))
    return model


def tokens(*shape, vocab=11):
    return torch.randint(vocab, shape, generator=torch.Generator().manual_seed(1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def chances(**options):
    return Sampling(**options).probabilities(CHANCES.log())


def only(*kept):
    wanted = torch.zeros(5, dtype=torch.float64)
    wanted[list(kept)] = CHANCES[list(kept)]
    return wanted / wanted.sum()


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, (0, 1, 2, 3, 4)),
        ({"top_k": 1}, (2,)),
        ({"top_k": 3}, (0, 2, 4)),
        ({"top_k": 99}, (0, 1, 2, 3, 4)),
        ({"top_p": 1e-9}, (2,)),
        ({"top_p": 0.39}, (2,)),
        ({"top_p": 0.41}, (0, 2)),
        ({"top_p": 0.64}, (0, 2)),
        ({"top_p": 0.66}, (0, 2, 4)),
        ({"top_p": 0.94}, (0, 1, 2, 4)),
        ({"top_p": 0.96}, (0, 1, 2, 3, 4)),
        ({"top_k": 2, "top_p": 0.61}, (2,)),  # .40 of .65 is .615
        ({"top_k": 2, "top_p": 0.62}, (0, 2)),
    ],
)
def test_filters_keep_exactly_the_right_set(options, kept):
    torch.testing.assert_close(chances(**options), only(*kept), rtol=1e-12, atol=0)


def test_temperature_is_a_power_of_the_distribution():
    for t in (0.5, 2.0):
        wanted = CHANCES ** (1 / t)
        torch.testing.assert_close(chances(temperature=t), wanted / wanted.sum(), rtol=1e-12, atol=0)
    # Before the nucleus: cold, the likeliest alone has .40² of a sum of .275.
    assert chances(temperature=0.5, top_p=0.58).count_nonzero() == 1
    assert chances(top_p=0.58).count_nonzero() == 2


def test_towards_temperature_0_only_the_likeliest_is_left():
    for t in (0, 1e-320, 1e-30, 1e-4):
        assert chances(temperature=t).tolist() == [0, 0, 1, 0, 0]
    equal = torch.zeros(2, 6)
    assert Sampling(0).draw(equal).tolist() == [0, 0]  # the first of equals
    assert Sampling(top_k=2).probabilities(equal).tolist() == [[0.5, 0.5, 0, 0, 0, 0]] * 2


def test_draws_have_the_probabilities():
    n = 20_000
    drawn = Sampling(top_k=3).draw(CHANCES.log().expand(n, 5), seeded())
    counts = torch.bincount(drawn, minlength=5)
    wanted = only(0, 2, 4) * n
    assert counts[[1, 3]].tolist() == [0, 0]
    assert ((counts - wanted).abs() < 5 * wanted.sqrt() + 1e-9).all()


@every_mixer
def test_greedy_is_the_likeliest_of_one_parallel_pass(mixer):
    """Each token that was taken, against the model read anew over all before it."""
    model, prompt = make(mixer), tokens(3, 7)
    new = generate(model, prompt, 8, Sampling(temperature=0))
    assert new.shape == (3, 8) and len(new.unique()) > 2
    logits, _ = model(torch.cat((prompt, new), 1)[:, :-1])
    assert torch.equal(logits[:, 6:].argmax(-1), new)
    assert torch.equal(generate(model, prompt, 8, Sampling(temperature=1e-9), seeded()), new)
    assert torch.equal(generate(model, prompt, 8, Sampling(top_k=1), seeded()), new)


@every_mixer
def test_several_sequences_are_each_alone(mixer):
    model, prompts = make(mixer), tokens(3, 7)
    together = generate(model, prompts, 5, Sampling(temperature=0))
    for row, prompt in zip(together, prompts, strict=True):
        assert torch.equal(generate(model, prompt[None], 5, Sampling(temperature=0))[0], row)


@every_mixer
def test_a_prompt_in_stretches_is_the_whole_prompt(mixer):
    model, prompt = make(mixer), tokens(2, 19)
    whole, last = read(model, prompt)
    torch.testing.assert_close(whole, model(prompt)[0][:, -1], rtol=1e-4, atol=1e-4)
    for stretch in (1, 8, 18):
        logits, state = read(model, prompt, stretch=stretch)
        torch.testing.assert_close(logits, whole, rtol=1e-3, atol=1e-3)
        for a, b in zip(state, last, strict=True):
            torch.testing.assert_close(tuple(a), tuple(b), rtol=1e-3, atol=1e-3)
    _, state = read(model, prompt[:, :12])
    torch.testing.assert_close(read(model, prompt[:, 12:], state)[0], whole, rtol=1e-3, atol=1e-3)


def test_a_seed_decides_what_is_drawn():
    model, prompt = make(), tokens(2, 5)
    first, again, other = (generate(model, prompt, 40, generator=seeded(s)) for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    torch.manual_seed(5)
    own = generate(model, prompt, 40)
    torch.manual_seed(5)
    assert torch.equal(generate(model, prompt, 40), own)


def test_a_stream_yields_what_the_batch_holds_and_no_more_than_is_asked():
    model, prompt = make(), tokens(2, 5)
    whole = generate(model, prompt, 30, generator=seeded())
    streamed = list(itertools.islice(stream(model, prompt, 10**9, generator=seeded()), 30))
    assert all(token.shape == (2,) and not token.requires_grad for token in streamed)
    assert torch.equal(torch.stack(streamed, 1), whole)


def test_a_stream_leaves_gradients_on_for_its_reader():
    for _ in stream(make(), tokens(1, 3), 3):
        assert torch.is_grad_enabled()


def held(state):
    """Bytes of storage behind a state."""
    return sum(x.untyped_storage().nbytes() for block in state for x in block)


@pytest.mark.parametrize("mixer", MIXERS)
def test_memory_is_what_the_state_says_and_no_more(mixer, monkeypatch):
    """After a prompt of any length, and token by token: no view of what computed it."""
    model = make(mixer, layers=1)
    for n in (10, 2000):
        assert held(read(model, tokens(1, n))[1]) == 4 * model.state_size(n)
    sizes, step = [], model.step

    def noted(token, state):
        logits, state = step(token, state)
        sizes.append(held(state))
        return logits, state

    monkeypatch.setattr(model, "step", noted)
    for _ in stream(model, tokens(1, 3), 21, generator=seeded()):
        pass
    assert sizes == [4 * model.state_size(n) for n in range(4, 24)]


def reciting(text, monkeypatch):
    """A model of bytes whose likeliest next bytes are `text`, one after another."""
    model, said = make("gru", vocab=256), iter(text)

    def likeliest(hidden):
        return torch.nn.functional.one_hot(torch.tensor([next(said)]), 256).float()

    monkeypatch.setattr(model, "logits", likeliest)
    return model


@pytest.mark.parametrize(
    ("prompt", "said", "pieces"),
    [
        ("a", b"plain", ["p", "l", "a", "i", "n"]),
        ("é", "aé€😀".encode(), ["a", "é", "€", "😀"]),
        ("a", b"\xe2\x82", ["\ufffd"]),  # cut short: known only at the end
        ("a", b"\xe2\x82ab", ["\ufffda", "b"]),
        ("a", b"\xffa", ["\ufffd", "a"]),
        ("\udce2\udc82", b"\xacb", ["€", "b"]),  # as the command line hands over what it cannot decode
    ],
)
def test_text_comes_in_whole_characters(prompt, said, pieces, monkeypatch):
    model = reciting(said, monkeypatch)
    assert list(stream_text(model, BYTES, prompt, len(said), Sampling(temperature=0))) == pieces


def test_text_is_the_bytes_of_the_prompt_continued():
    model = make("gru", vocab=256)
    new = generate(model, torch.tensor([list("häh".encode())]), 60, generator=seeded())
    text = "".join(stream_text(model, BYTES, "häh", 60, generator=seeded()))
    assert text == bytes(new[0].tolist()).decode("utf-8", "replace")


BAD = {
    "no token": (lambda m: stream(m, tokens(1, 0), 3), "prompt is empty; at least one token is needed"),
    "no sequence": (lambda m: stream(m, tokens(0, 3), 3), r"prompt must be whole numbers .*\(0, 3\)"),
    "no batch": (lambda m: stream(m, tokens(4), 3), r"prompt must be whole numbers \[B, T\], got .*\(4,\)"),
    "fractions": (lambda m: stream(m, torch.rand(1, 4), 3), "prompt must be whole numbers .* torch.float32"),
    "outside": (lambda m: stream(m, tokens(1, 50, vocab=12), 3), "prompt must lie within 0 … 10, .* 0 … 11"),
    "negative": (lambda m: stream(m, tokens(1, 5) - 20, 3), "prompt must lie within 0 … 10, .* within -"),
    "nothing new": (lambda m: stream(m, tokens(1, 5), 0), "max_new must be at least 1, got 0"),
    "stretch": (lambda m: read(m, tokens(1, 5), stretch=0), "stretch must be at least 1, got 0"),
    "cold": (lambda m: Sampling(temperature=-0.1), "temperature must be at least 0 and finite, got -0.1"),
    "hot": (lambda m: Sampling(temperature=float("inf")), "temperature must be .* finite, got inf"),
    "no number": (lambda m: Sampling(temperature=float("nan")), "temperature must be .* got nan"),
    "none kept": (lambda m: Sampling(top_k=0), "top_k must be at least 1, got 0"),
    "half kept": (lambda m: Sampling(top_k=1.5), "top_k must be an integer of at least 1, got 1.5"),
    "no nucleus": (lambda m: Sampling(top_p=0), "top_p must be above 0 and at most 1, got 0"),
    "over all": (lambda m: Sampling(top_p=1.1), "top_p must be above 0 and at most 1, got 1.1"),
    "text for tokens": (
        lambda m: stream_text(m, BYTES, "a", 3),
        "a prompt of text needs a model of bytes, with vocab_size = 256; this one has 11",
    ),
    "no text": (lambda m: stream_text(make("gru", vocab=256), BYTES, "", 3), "prompt is empty; at least"),
    "labels": (
        lambda m: stream_text(Classifier(m.config, 2), BYTES, "a", 3), "only a Backbone generates, .* Class"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_at_the_call(case):
    call, message = BAD[case]
    with pytest.raises(HmlcoreError, match=message):
        call(make("gru"))


def test_a_model_that_diverged_is_refused():
    model = make("gru")
    model.embedding.weight.data[3] = float("nan")
    with pytest.raises(HmlcoreError, match="the model's logits are not finite"):
        generate(model, tokens(1, 5), 2)
