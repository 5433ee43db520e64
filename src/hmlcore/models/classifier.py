"""A backbone that labels whole sequences: mean of the final hidden states, then a linear map."""

import torch
from torch import Tensor, nn

from hmlcore.errors import require
from hmlcore.models.backbone import Backbone, BackboneConfig


class Classifier(nn.Module):
    """logits = W · mean_{t < length} hidden_t + b.

    Args: config of the backbone; classes, at least 2.
    """

    def __init__(self, config: BackboneConfig, classes: int):
        super().__init__()
        require(classes >= 2, f"classes must be at least 2, got {classes}")
        self.backbone = Backbone(config)
        self.head = nn.Linear(config.d_model, classes)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """tokens [B, T]; lengths [B], how many tokens of each row count (None: all) → [B, classes].

        Padding after a row's length changes nothing: the backbone is causal and the mean leaves it out.
        Raises: HmlcoreError for lengths outside 1 … T.
        """
        hidden, _ = self.backbone.hidden(tokens)
        if lengths is None:
            return self.head(hidden.mean(1))
        low, high = int(lengths.min()), int(lengths.max())
        require(
            lengths.shape == tokens.shape[:1] and low >= 1 and high <= tokens.shape[1],
            f"lengths must be [B] within 1 … {tokens.shape[1]}, got shape {tuple(lengths.shape)} "
            f"with values {low} … {high}",
        )
        counted = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        return self.head((hidden * counted[..., None]).sum(1) / lengths[:, None])
