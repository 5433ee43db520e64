"""One training by several processes, as torchrun (or accelerate launch) starts them.

All processes walk through the same program. Every one draws the same batch and reads its own rows of it;
gradients, losses and norms are sums over all, so that each knows the same and does the same. What only one may
do (show progress, write files, measure the trained model) the first does, and shares what came of it. Nobody
else listens to requests to stop or to the clock, or some would stop while others wait for them.

    ddp   every process holds the whole model: torch.nn.parallel.DistributedDataParallel
    fsdp  every process holds a part of weights, gradients and optimiser: torch.distributed.fsdp.fully_shard

Sources: Li et al. (arXiv 2006.15704); Zhao et al. (arXiv 2304.11277).
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hmlcore.errors import HmlcoreError, require, unknown
from hmlcore.interrupts import asked, handled_by, listening
from hmlcore.models import Backbone, Classifier
from hmlcore.tasks import Batch, Continued, Labelled
from hmlcore.training.objective import Objective
from hmlcore.training.sharding import sharded, whole

STRATEGIES = ("ddp", "fsdp")
# How long the others wait while the first measures a trained model.
_PATIENCE = timedelta(days=7)


class ProcessGroup:
    """The processes that train together: this one alone, unless `strategy` is one of :data:`STRATEGIES`.

    Attributes: strategy; rank, of `world_size` processes, and is_first: whether it is 0.
    """

    def __init__(self, strategy: str | None = None, rank: int = 0, world_size: int = 1):
        self.strategy, self.rank, self.world_size = strategy, rank, world_size
        self.is_first = rank == 0
        self.asked_to_stop = False
        # A group of its own for what is said on the CPU, however long it takes, whatever gradients go through.
        self._gloo: Any = dist.new_group(backend="gloo", timeout=_PATIENCE) if strategy else None

    # What each does of a step

    def check(self, batch_size: int, energy_penalty: float, auxiliary: float = 0.0) -> None:
        """Raises: HmlcoreError for a batch that does not divide, for the penalty on energy, which is no mean
        over rows, and for losses of layers under fsdp, whose weights are whole only while one computes."""
        require(
            batch_size % self.world_size == 0,
            f"batch_size = {batch_size} does not divide among {self.world_size} processes",
        )
        require(
            self.strategy is None or energy_penalty == 0,
            f"energy_penalty = {energy_penalty} is for one process, without --parallel {self.strategy}",
        )
        require(
            self.strategy != "fsdp" or auxiliary == 0,
            f"auxiliary = {auxiliary} is for one process or --parallel ddp, not for --parallel fsdp",
        )

    def shard(self, batch: Batch | Continued | Labelled) -> Batch | Continued | Labelled:
        """This process's rows of a batch: rank, rank + world_size, ..."""
        return batch if self.world_size == 1 else type(batch)(*(x[self.rank :: self.world_size] for x in batch))

    def all_reduce(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.strategy:
            dist.all_reduce(values)
        return values

    def all_gather(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of all rows, of which :meth:`shard` gave every process its own."""
        if self.world_size == 1:
            return parts
        whole = {}
        for name, x in parts.items():
            found = [torch.empty_like(x) for _ in range(self.world_size)]
            dist.all_gather(found, x.contiguous())
            whole[name] = torch.stack(found, 1).flatten(0, 1)
        return whole

    # What they agree on

    def broadcast(self, value: Any) -> Any:
        """The first's value, which can be pickled."""
        if self.strategy:
            told = [value if self.is_first else None]
            dist.broadcast_object_list(told, 0, self._gloo)
            value = told[0]
        return value

    def broadcast_flags(self, *answers: bool) -> tuple[bool, ...]:
        """The first's answers.

        Raises: KeyboardInterrupt, for all, if it was asked to stop.
        """
        if not self.strategy:
            return answers
        told = torch.tensor([self.asked_to_stop, *answers], dtype=torch.uint8)
        dist.broadcast(told, 0, self._gloo)
        stop, *agreed = (bool(x) for x in told.tolist())
        if stop:
            raise KeyboardInterrupt
        return tuple(agreed)

    def on_each(self, work: Callable[[], Any]) -> Any:
        """What `work` returns here, if it succeeds everywhere.

        Raises: HmlcoreError, for all, of one process that met it.
        """
        if not self.strategy:
            return work()
        error = result = None
        try:
            result = work()
        except HmlcoreError as met:
            error = str(met)
        errors: list[str | None] = [None] * self.world_size
        dist.all_gather_object(errors, error, self._gloo)
        for met in errors:
            if met is not None:
                raise HmlcoreError(met)
        return result

    def on_first(self, work: Callable[[], Any], interruptible: bool = False) -> Any:
        """What `work`, done by the first alone, returns (it must be picklable); the others wait for it.

        Raises: HmlcoreError, for all, where it did; KeyboardInterrupt likewise, if `interruptible`.
        """
        if not self.strategy:
            return work()
        outcome: tuple[str, Any] = ("", None)
        if self.is_first:
            try:
                with handled_by(signal.default_int_handler) if interruptible else nullcontext():
                    if interruptible and self.asked_to_stop:
                        raise KeyboardInterrupt
                    outcome = "done", work()
            except HmlcoreError as error:
                outcome = "refused", str(error)
            except KeyboardInterrupt:
                self.asked_to_stop = True
                outcome = "interrupted", None
        what, result = self.broadcast(outcome)
        if what == "interrupted":
            raise KeyboardInterrupt
        if what == "refused":
            raise HmlcoreError(result)
        return result

    # The model

    def wrap(
        self, model: Backbone | Classifier, device: torch.device
    ) -> tuple[Backbone | Classifier, nn.Module]:
        """The model that is trained, in which this process may hold parts, and its :class:`Objective`.

        The former is `model` itself, moved to `device`; under fsdp it is a copy, so that no process needs the
        whole on its device, and :meth:`unwrap` brings the weights back. Every process must give equal weights.
        """
        if self.strategy == "fsdp":
            return sharded(model, device)
        model.to(device)
        objective = Objective(model)
        if self.strategy == "ddp":
            from torch.nn.parallel import DistributedDataParallel

            # A variant of a memory may leave parameters unused, and then they get no gradient anywhere.
            return model, DistributedDataParallel(
                objective, forward_sync_buffers=False, find_unused_parameters=True
            )
        return model, objective

    def unwrap(self, held: nn.Module, model: nn.Module) -> None:
        """Give `model` the weights of what was trained."""
        if held is not model:
            own = dict(model.named_parameters())
            with torch.no_grad():
                for name, x in held.named_parameters():
                    own[name].copy_(whole(x))


SINGLE_PROCESS = ProcessGroup()
"""What trains where nobody asked for several: every method answers at once."""


@contextmanager
def process_group(strategy: str | None, arguments: str = "run EXPERIMENT") -> Iterator[ProcessGroup]:
    """The processes that torchrun started, of which this is one; :data:`SINGLE_PROCESS` if `strategy` is None.

    Processes talk through gloo on CPUs; gradients on GPUs go through NCCL, one GPU each.

    Args: arguments of ``hml``, for the command that a refusal proposes.
    Raises: HmlcoreError for an unknown strategy, one without torchrun, and torchrun without a strategy.
    """
    if strategy is not None and strategy not in STRATEGIES:
        raise unknown("way to train in parallel", strategy, STRATEGIES)
    started = [name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR") if name in os.environ]
    several = len(started) == 4 and int(os.environ["WORLD_SIZE"]) > 1
    torchrun = "torchrun --nproc-per-node 2 -m hmlcore.cli"
    if strategy is None:
        require(
            not several,
            f"{os.environ.get('WORLD_SIZE')} processes were started, which would all do the same; add "
            "--parallel ddp or --parallel fsdp, or start one",
        )
        yield SINGLE_PROCESS
        return
    require(
        len(started) == 4,
        f"--parallel {strategy} needs processes: {torchrun} {arguments} --parallel {strategy}",
    )
    gpu = torch.cuda.is_available()
    if gpu:
        local = int(os.environ["LOCAL_RANK"])
        count = torch.cuda.device_count()
        require(local < count, f"process {local} of this machine has no GPU of its own: there are {count}")
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        group = ProcessGroup(strategy, dist.get_rank(), dist.get_world_size())

        def remember(signum, _frame) -> None:
            group.asked_to_stop |= asked(signum)

        with listening(remember if group.is_first else signal.SIG_IGN):
            yield group
    finally:
        dist.destroy_process_group()
