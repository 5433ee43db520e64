"""Every mixer as one graph of torch.compile, and the classical units as one node of it."""

import pytest
import torch
from mixer_cases import WIDTH, make, normal

from hmlcore.layers import MIXERS

each_unit = pytest.mark.parametrize("case", ["gru-small", "lstm"])


@pytest.fixture(autouse=True)
def forget_graphs():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(function, backend="aot_eager"):
    """`function` as one graph: a break in it is an error."""
    return torch.compile(function, fullgraph=True, backend=backend)


OTHERS = [name for name in MIXERS if name != "hml"]  # which has tests of its own


@pytest.mark.parametrize("mixer", [
    *OTHERS, "mamba2-rotation", "gated_deltanet-corrections", "gated_deltanet-channel",
])  # fmt: skip
def test_a_sequence_and_a_token_are_one_graph_each(mixer):
    layer, x = make(mixer), normal(2, 6, WIDTH)
    found, state = compiled(layer, "eager")(x, None)
    wanted, end = layer(x)
    torch.testing.assert_close((found, *state), (wanted, *end), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(compiled(layer.step, "eager")(x[:, 0], end)[0], layer.step(x[:, 0], end)[0])


@each_unit
def test_gradients_of_a_unit_in_a_graph_are_its_own(case):
    """From states and to states, and where only one of what it gives is used."""
    layer, results = make(case), []
    leaves = [normal(2, 6, WIDTH), *(normal(*s.shape, seed=2) for s in layer.init_state(2))]
    leaves = [x.requires_grad_() for x in leaves]
    for call in (layer, compiled(layer)):
        y, end = call(leaves[0], type(layer.init_state(2))(*leaves[1:]))
        used = (y, *end), (y[:, -1],), end[:1]
        results.append([y, *end])
        for parts in used:
            loss = sum(part.sin().sum() for part in parts)
            own = [*leaves, *layer.parameters()]
            grads = torch.autograd.grad(loss, own, retain_graph=True, allow_unused=True, materialize_grads=True)
            results[-1] += grads
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


@each_unit
def test_a_unit_is_one_node_for_any_length(case):
    nodes = []

    def count(graph, inputs):
        nodes.append(sum(node.op == "call_function" for node in graph.graph.nodes))
        return graph

    layer = make(case)
    for length in (3, 300):
        torch._dynamo.reset()
        with torch.no_grad():
            y, _ = compiled(layer, count)(normal(1, length, WIDTH), None)
            torch.testing.assert_close(y, layer(normal(1, length, WIDTH))[0], rtol=1e-4, atol=1e-5)
    assert nodes[0] == nodes[1]


@each_unit
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_a_unit_in_a_graph_under_autocast(case):
    layer, x, results = make(case), normal(2, 6, WIDTH), []
    for call in (layer, compiled(layer)):
        with torch.autocast("cpu", torch.bfloat16):
            y, end = call(x, None)
        grads = torch.autograd.grad(y.float().square().sum(), list(layer.parameters()))
        assert y.dtype == end[0].dtype == torch.bfloat16
        results.append((y, *end, *grads))
    for found, wanted in zip(results[1], results[0], strict=True):
        assert (found - wanted).float().norm() <= 0.02 * wanted.float().norm()
