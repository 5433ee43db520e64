"""Parameters of which every process holds a part, and how they become whole."""

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from hmlcore.models import Backbone, Classifier
from hmlcore.training.objective import Objective

# Distributed tensors take seconds to import; only those who have some need to.


def sharded(model: Backbone | Classifier, device: torch.device) -> tuple[Backbone | Classifier, nn.Module]:
    """A copy of `model` in parts over all processes, and its objective, which gathers them as it goes.

    A block's parameters are whole while it computes, the embedding, the last norm and the head throughout a
    step; gradients come back as means over the processes.
    """
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    held = copy.deepcopy(model)
    objective = Objective(held)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    # Blocks return views, which is warned of; nothing here writes into them.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
    for block in (held.backbone if isinstance(held, Classifier) else held).blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(objective, mesh=mesh)
    return held, objective


def whole(x: Tensor) -> Tensor:
    """All of a tensor; every process must ask together for one that is in parts."""
    full = getattr(x, "full_tensor", None)
    return x if full is None else full()


def placed(x: Tensor, like: Tensor) -> Tensor:
    """All of a tensor, as a file has it, to where `like` is: its device, and this process's part."""
    x = x.to(like.device)
    if not hasattr(like, "full_tensor"):
        return x
    from torch.distributed.tensor import distribute_tensor

    parts: Any = like
    return distribute_tensor(x, parts.device_mesh, parts.placements, src_data_rank=None)
