"""One training by several processes, as torchrun (or accelerate launch) starts them.

All processes walk through the same program. Every one draws the same batch and reads its own rows of it;
gradients, losses and norms are sums over all, so that each knows the same and does the same. What only one may
do (show progress, write files, measure the trained model) the first does, and shares what came of it. Nobody
else listens to Ctrl-C or to the clock, or some would stop while others wait for them.

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
from hmlcore.models import Backbone, Classifier
from hmlcore.tasks import Batch, Continued, Labelled
from hmlcore.training.interrupts import handled_by
from hmlcore.training.objective import Objective
from hmlcore.training.sharding import sharded, whole

KINDS = ("ddp", "fsdp")
# How long the others wait while the first measures a trained model.
_PATIENCE = timedelta(days=7)


class Team:
    """The processes that train together: this one alone, unless `kind` is one of :data:`KINDS`.

    Attributes: kind; rank, of `world` processes, and first: whether it is 0.
    """

    def __init__(self, kind: str | None = None, rank: int = 0, world: int = 1):
        self.kind, self.rank, self.world = kind, rank, world
        self.first = rank == 0
        self.asked_to_stop = False
        # A group of its own for what is said on the CPU, however long it takes, whatever gradients go through.
        self._talk = dist.new_group(backend="gloo", timeout=_PATIENCE) if kind else None

    # What each does of a step

    def check(self, batch_size: int, energy_penalty: float) -> None:
        """Raises: HmlcoreError for a batch that does not divide, and for the penalty, which is not a sum."""
        require(
            batch_size % self.world == 0,
            f"batch_size = {batch_size} does not divide among {self.world} processes",
        )
        require(
            self.kind is None or energy_penalty == 0,
            f"energy_penalty = {energy_penalty} is for one process, without --parallel {self.kind}",
        )

    def rows(self, batch: Batch | Continued | Labelled) -> Batch | Continued | Labelled:
        """This process's rows of a batch: rank, rank + world, ..."""
        return batch if self.world == 1 else type(batch)(*(x[self.rank :: self.world] for x in batch))

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.kind:
            dist.all_reduce(values)
        return values

    def gathered(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of all rows, of which :meth:`rows` gave every process its own."""
        if self.world == 1:
            return parts
        whole = {}
        for name, x in parts.items():
            found = [torch.empty_like(x) for _ in range(self.world)]
            dist.all_gather(found, x.contiguous())
            whole[name] = torch.stack(found, 1).flatten(0, 1)
        return whole

    # What they agree on

    def share(self, value: Any) -> Any:
        """The first's value, which can be pickled."""
        if self.kind:
            told = [value if self.first else None]
            dist.broadcast_object_list(told, 0, self._talk)
            value = told[0]
        return value

    def decide(self, *answers: bool) -> tuple[bool, ...]:
        """The first's answers.

        Raises: KeyboardInterrupt, for all, if it was asked to stop.
        """
        if not self.kind:
            return answers
        told = torch.tensor([self.asked_to_stop, *answers], dtype=torch.uint8)
        dist.broadcast(told, 0, self._talk)
        stop, *agreed = (bool(x) for x in told.tolist())
        if stop:
            raise KeyboardInterrupt
        return tuple(agreed)

    def each(self, work: Callable[[], Any]) -> Any:
        """What `work` returns here, if it succeeds everywhere.

        Raises: HmlcoreError, for all, of one process that met it.
        """
        if not self.kind:
            return work()
        error = result = None
        try:
            result = work()
        except HmlcoreError as met:
            error = str(met)
        errors: list[str | None] = [None] * self.world
        dist.all_gather_object(errors, error, self._talk)
        for met in errors:
            if met is not None:
                raise HmlcoreError(met)
        return result

    def first_does(self, work: Callable[[], Any], interruptible: bool = False) -> Any:
        """What `work`, done by the first alone, returns (it must be picklable); the others wait for it.

        Raises: HmlcoreError, for all, where it did; KeyboardInterrupt likewise, if `interruptible`.
        """
        if not self.kind:
            return work()
        outcome: tuple[str, Any] = ("", None)
        if self.first:
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
        what, result = self.share(outcome)
        if what == "interrupted":
            raise KeyboardInterrupt
        if what == "refused":
            raise HmlcoreError(result)
        return result

    # The model

    def prepare(self, model: Backbone | Classifier, device: torch.device) -> tuple[nn.Module, nn.Module]:
        """The model that is trained, in which this process may hold parts, and its :class:`Objective`.

        The former is `model` itself, moved to `device`; under fsdp it is a copy, so that no process needs the
        whole on its device, and :meth:`finish` brings the weights back. Every process must give equal weights.
        """
        if self.kind == "fsdp":
            return sharded(model, device)
        model.to(device)
        objective = Objective(model)
        if self.kind == "ddp":
            from torch.nn.parallel import DistributedDataParallel

            # A variant of a memory may leave parameters unused, and then they get no gradient anywhere.
            objective = DistributedDataParallel(
                objective, forward_sync_buffers=False, find_unused_parameters=True
            )
        return model, objective

    def finish(self, held: nn.Module, model: nn.Module) -> None:
        """Give `model` the weights of what was trained."""
        if held is not model:
            own = dict(model.named_parameters())
            with torch.no_grad():
                for name, x in held.named_parameters():
                    own[name].copy_(whole(x))


ALONE = Team()


@contextmanager
def joined(kind: str | None, arguments: str = "run EXPERIMENT") -> Iterator[Team]:
    """The team that torchrun started this process for; alone if `kind` is None.

    Processes talk through gloo on CPUs; gradients on GPUs go through NCCL, one GPU each.

    Args: arguments of ``hml``, for the command that a refusal proposes.
    Raises: HmlcoreError for an unknown kind, one without torchrun, and torchrun without a kind.
    """
    if kind is not None and kind not in KINDS:
        raise unknown("way to train in parallel", kind, KINDS)
    started = [name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR") if name in os.environ]
    several = len(started) == 4 and int(os.environ["WORLD_SIZE"]) > 1
    torchrun = "torchrun --nproc-per-node 2 -m hmlcore.cli"
    if kind is None:
        require(
            not several,
            f"{os.environ.get('WORLD_SIZE')} processes were started, which would all do the same; add "
            "--parallel ddp or --parallel fsdp, or start one",
        )
        yield ALONE
        return
    require(len(started) == 4, f"--parallel {kind} needs processes: {torchrun} {arguments} --parallel {kind}")
    gpu = torch.cuda.is_available()
    if gpu:
        local = int(os.environ["LOCAL_RANK"])
        count = torch.cuda.device_count()
        require(local < count, f"process {local} of this machine has no GPU of its own: there are {count}")
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        team = Team(kind, dist.get_rank(), dist.get_world_size())

        def remember(_signal, _frame) -> None:
            team.asked_to_stop = True

        with handled_by(remember if team.first else signal.SIG_IGN):
            yield team
    finally:
        dist.destroy_process_group()
