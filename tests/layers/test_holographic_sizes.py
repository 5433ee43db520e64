"""The sizes that the holographic system was described in, 21 to 100 million parameters: planned, not built."""

import pytest
import torch

from hmlcore.models import Backbone, BackboneConfig, match_parameters

# Millions of parameters, d_model, layers, D, S.
SIZES = [(21, 384, 6, 3072, 8), (50, 512, 8, 4096, 8), (100, 768, 10, 6144, 8)]


@pytest.mark.parametrize(("millions", "d_model", "layers", "dim", "slots"), SIZES)
def test_a_configuration_has_the_parameters_state_and_operations_that_it_says(
    millions, d_model, layers, dim, slots
):
    given = {"dim": dim, "slots": slots}
    config = BackboneConfig(16_384, "holographic", d_model, layers, d_model, given)
    config = match_parameters(config, millions * 10**6)
    with torch.device("meta"):
        model = Backbone(config)
    assert model.parameter_count == pytest.approx(millions * 10**6, rel=0.01)
    window = 3 * 3 * d_model  # of the convolution
    assert model.state_size(16) == model.state_size(2048) == layers * (slots * dim + window)
    # Every parameter of a matrix once, and beside it lifts, slots and bindings.
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    lifts = 2 * (dim // 2) * d_model + 2 * dim * d_model
    wanted = 2 * (matrices + layers * (lifts + 3 * slots * dim + 4 * dim + slots * d_model))
    assert model.flops_per_token(2048) == pytest.approx(wanted, rel=1e-6)
