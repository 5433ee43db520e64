"""Metrics against numbers worked out by hand, with models whose answers are known."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation import metrics
from hmlcore.evaluation.metrics import Scores, evaluate
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.tasks import IGNORE, Batch, Task, build_task

CPU = torch.device("cpu")
VOCAB = 4
X = IGNORE
# Four sequences of three tokens.
INPUTS = torch.tensor([[0, 1, 2], [3, 3, 3], [1, 0, 1], [2, 2, 0]])
TARGETS = torch.tensor([[0, 1, X], [3, X, 0], [X, X, 1], [1, 2, 3]])


@dataclass(frozen=True)
class Fixed(Task):
    """The four sequences above, whatever the split."""

    name: ClassVar[str] = "fixed"
    vocab_size: ClassVar[int] = VOCAB
    length: ClassVar[int] = 3

    def batch(self, split, index, batch_size, seed):
        where = slice(index * batch_size, (index + 1) * batch_size)
        return Batch(INPUTS[where], TARGETS[where])

    def conditions(self):
        return {}


class TwoOff(Fixed):
    """Every input asks for the token two further on."""

    def batch(self, split, index, batch_size, seed):
        return Batch(INPUTS, (INPUTS + 2) % VOCAB)


class Echo(torch.nn.Module):
    """Says its input with logit `sharpness`, everything else with 0."""

    def __init__(self, sharpness):
        super().__init__()
        self.sharpness = sharpness

    def state_size(self, length):
        return 0

    def hidden(self, tokens, state=None):
        assert not self.training, "evaluated in training mode"
        return torch.nn.functional.one_hot(tokens, VOCAB).double(), None

    def logits(self, hidden):
        return self.sharpness * hidden


def score(model=None, batch_size=4):
    return evaluate(model or Echo(2.0), Fixed(), "test", 4, batch_size, CPU)


def test_accuracies_by_hand():
    """Scored: 8 tokens, right where target = input: 0, 1 | 3 | 1 | 2. Whole: first and third."""
    found = score()
    assert (found.tokens, found.correct, found.sequences, found.exact) == (8, 5, 4, 2)
    assert found.accuracy == 5 / 8 and found.exact_accuracy == 2 / 4


def test_answers_off_by_one_by_hand():
    """The wrong ones say 3 for 0, 2 for 1 and 0 for 3: one of them is near."""
    assert score().near == 6 and score().accuracy_within_one == 6 / 8
    assert evaluate(Echo(2.0), TwoOff(), "test", 4, 4, CPU).near == 0


def test_likelihoods_by_hand():
    """Right costs ln(e² + 3) − 2 nats, wrong ln(e² + 3)."""
    found, right = score(), math.log(math.exp(2) + 3) - 2
    wrong = right + 2
    assert found.nats == pytest.approx(5 * right + 3 * wrong)
    assert found.bits_per_token == pytest.approx((5 * right + 3 * wrong) / 8 / math.log(2))
    assert found.tokens_at.tolist() == [3, 2, 3]
    assert found.nats_at.tolist() == pytest.approx([2 * right + wrong, 2 * right, right + 2 * wrong])


def test_an_undecided_model_pays_the_logarithm_of_its_vocabulary():
    assert score(Echo(0.0)).bits_per_token == pytest.approx(math.log2(VOCAB), rel=1e-7)
    task = build_task("copy", payload=3, delay=2)
    model = Backbone(BackboneConfig(task.vocab_size, "gru", 8, 1, 8))
    with torch.no_grad():
        model.embedding.weight.zero_()
    found = evaluate(model, task, "test", 16, 8, CPU)
    assert found.bits_per_token == pytest.approx(math.log2(task.vocab_size), rel=1e-6)
    assert (found.tokens, found.sequences) == (48, 16)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_batch_size_changes_nothing(batch_size):
    found, wanted = score(batch_size=batch_size), score()
    assert (found.correct, found.exact, found.tokens) == (wanted.correct, wanted.exact, wanted.tokens)
    torch.testing.assert_close(found.nats_at, wanted.nats_at)


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_the_head_may_be_applied_in_pieces(rows, monkeypatch):
    wanted = score()
    monkeypatch.setattr(metrics, "_HEAD_ROWS", rows)
    found = score()
    assert (found.correct, found.exact) == (wanted.correct, wanted.exact)
    assert found.nats == pytest.approx(wanted.nats, rel=1e-12)


def test_bits_by_position():
    """Positions 0..5 cost 1..6 bits a token, one token each but none at 2: bins of two positions."""
    bits = torch.tensor([1.0, 2, 0, 4, 5, 6]).double()
    tokens = torch.tensor([1.0, 1, 0, 1, 1, 1]).double()
    scores = Scores(5, 1, 0, 0, 0, float(bits.sum()) * math.log(2), bits * math.log(2), tokens)
    found = scores.bits_by_position(3)
    assert [(a, b, n) for a, b, _, n in found] == [(0, 2, 2), (2, 4, 1), (4, 6, 2)]
    assert [bpt for _, _, bpt, _ in found] == pytest.approx([1.5, 4, 5.5])
    assert scores.bits_by_position(1)[0][2] == pytest.approx(scores.bits_per_token)
    # A stretch without a scored token is left out, and stretches never overlap.
    assert [(a, b) for a, b, *_ in scores.bits_by_position(6)] == [(0, 1), (1, 2), (3, 4), (4, 5), (5, 6)]


def test_bins_weigh_up_to_the_whole():
    found = score()
    parts = found.bits_by_position(2)
    assert sum(n for *_, n in parts) == found.tokens
    assert sum(bits * n for _, _, bits, n in parts) / found.tokens == pytest.approx(found.bits_per_token)


def test_evaluation_leaves_the_model_as_it_was():
    model = Echo(1.0)
    for training in (True, False):
        model.train(training)
        score(model)
        assert model.training is training


def test_no_gradient_is_kept():
    task = build_task("copy", payload=2, delay=0)
    model = Backbone(BackboneConfig(task.vocab_size, "gru", 8, 1, 8))
    assert not evaluate(model, task, "validation", 4, 2, CPU).nats_at.requires_grad
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("examples", "batch_size", "message"),
    [
        (0, 1, "examples must be at least 1, got 0"),
        (4, 0, "batch_size must be at least 1, got 0"),
        (4, 3, "batch_size = 3 must divide examples = 4"),
    ],
)
def test_bad_sizes_are_refused(examples, batch_size, message):
    with pytest.raises(HmlcoreError, match=message):
        evaluate(Echo(1.0), Fixed(), "test", examples, batch_size, CPU)


@pytest.mark.parametrize("mixer", ["hml", "gru", "mamba", "linoss", "attention", "hyena"])
def test_long_sequences_are_read_in_stretches_that_pass_the_state_on(mixer, monkeypatch):
    """Bounded memories in stretches of 5 tokens; the others, whose state grows, always whole."""
    task = build_task("copy", payload=4, delay=9)
    torch.manual_seed(0)
    model = Backbone(BackboneConfig(task.vocab_size, mixer, 8, 2, 8))
    whole, lengths = evaluate(model, task, "test", 8, 4, CPU), []
    monkeypatch.setattr(metrics, "STRETCH", 5)
    hidden = model.hidden
    monkeypatch.setattr(model, "hidden", lambda x, state: lengths.append(x.shape[1]) or hidden(x, state))
    parts = evaluate(model, task, "test", 8, 4, CPU)
    assert lengths == ([17, 17] if mixer in ("attention", "hyena") else [5, 5, 5, 2] * 2)
    assert (parts.correct, parts.near, parts.exact) == (whole.correct, whole.near, whole.exact)
    assert torch.equal(parts.tokens_at, whole.tokens_at)
    torch.testing.assert_close(parts.nats_at, whole.nats_at, rtol=1e-5, atol=1e-6)
