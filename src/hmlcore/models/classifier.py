"""A backbone that labels whole sequences: mean of the final hidden states, then a linear map."""

import torch
from torch import Tensor, nn

from hmlcore.checks import check_bool, check_instance, check_int
from hmlcore.errors import require
from hmlcore.models.backbone import Backbone, BackboneConfig


class Classifier(nn.Module):
    """logits = W · mean_{t < length} hidden_t + b.

    Bidirectional, every second block reads from right to left: the same parameters, state and work as
    causal, and from two blocks on each position depends on all others.
    Source: Alkin et al., Vision-LSTM (arXiv 2406.04303), where alternation did as well as two mixers a
    block. (Sharing one mixer between both directions of a block would make the mean blind to the order.)

    Args: config of the backbone; classes, at least 2; bidirectional.
    """

    def __init__(self, config: BackboneConfig, classes: int, bidirectional: bool = False):
        super().__init__()
        check_instance("config", config, BackboneConfig)
        kind = type(config).__name__
        require(
            type(config) is BackboneConfig, f"config must be a plain BackboneConfig for a label, got a {kind}"
        )
        classes = check_int("classes", classes, 2)
        bidirectional = check_bool("bidirectional", bidirectional)
        require(
            not bidirectional or config.layers >= 2,
            f"a bidirectional classifier needs at least 2 layers, got {config.layers}",
        )
        self.bidirectional = bidirectional
        self.backbone = Backbone(config)
        self.head = nn.Linear(config.d_model, classes)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """tokens [B, T]; lengths [B], how many tokens of each row count (None: all) → [B, classes].

        Padding after a row's length changes nothing: mixers are causal, reversal stays within the length,
        and the mean leaves it out.
        Raises: HmlcoreError for lengths outside 1 … T.
        """
        if lengths is None:
            lengths = torch.full(tokens.shape[:1], tokens.shape[1], device=tokens.device)
        low, high = (int(x) for x in lengths.aminmax()) if lengths.numel() else (1, 1)  # a batch may be empty
        require(
            lengths.shape == tokens.shape[:1] and low >= 1 and high <= tokens.shape[1],
            f"lengths must be [B] within 1 … {tokens.shape[1]}, got shape {tuple(lengths.shape)} "
            f"with values {low} … {high}",
        )
        place = torch.arange(tokens.shape[1], device=tokens.device)
        counted = place < lengths[:, None]
        hidden = (
            self._both_ways(tokens, lengths, place) if self.bidirectional else self.backbone.hidden(tokens)[0]
        )
        return self.head((hidden * counted[..., None]).sum(1) / lengths[:, None])

    def _both_ways(self, tokens: Tensor, lengths: Tensor, place: Tensor) -> Tensor:
        mirrored = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)[..., None]

        def reverse(x: Tensor) -> Tensor:
            return x.gather(1, mirrored.expand_as(x))

        x = self.backbone.embedding(tokens)
        for number, block in enumerate(self.backbone.blocks):
            x = reverse(block(reverse(x))[0]) if number % 2 else block(x)[0]
        return self.backbone.norm(x)

    def state_size(self, length: int) -> int:
        """Floats of state per sequence after `length` tokens, over all blocks."""
        return self.backbone.state_size(length)

    def flops_per_token(self, length: int) -> float:
        """Floating-point operations of one token, on average over `length`; the head's, once a sequence,
        are left out."""
        return self.backbone.flops_per_token(length) - 2 * self.backbone.embedding.weight.numel()

    @property
    def parameter_count(self) -> int:
        """All trainable numbers."""
        return sum(p.numel() for p in self.parameters())
