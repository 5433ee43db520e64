"""What a training is given, how far it is, and how it pauses."""

from dataclasses import dataclass, field

from hmlcore.checks import check_choice, check_fields, check_int, check_number, check_positive, check_seed

PRECISIONS = ("fp32", "bf16")
OPTIMIZERS = ("muon", "adamw")


@dataclass(frozen=True)
class TrainingConfig:
    """What determines a training, the model and tasks aside.

    Attributes:
        steps, batch_size, seed: the seed orders the data; weights are seeded where they are made.
        lr: peak learning rate; warmup: its steps; weight_decay: of matrices only.
        optimizer: "muon" on hidden matrices with AdamW on the rest, or "adamw" alone; lr is AdamW's.
        clip: largest gradient norm. precision: "fp32", or "bf16" autocast on a GPU.
        record_every: steps between points of the learning curve (each the mean since the last).
        energy_penalty: weight of :func:`~hmlcore.training.energy.energy_change` in the loss; the curve has the
            loss without it.
    Raises: HmlcoreError for what is not of its kind or range.
    """

    steps: int
    batch_size: int
    seed: int
    lr: float
    warmup: int = 0
    weight_decay: float = 0.1
    clip: float = 1.0
    precision: str = "fp32"
    optimizer: str = "muon"
    record_every: int = 50
    energy_penalty: float = 0.0

    def __post_init__(self) -> None:
        check_fields(
            self, steps=(check_int,), batch_size=(check_int,), seed=(check_seed,), lr=(check_positive,),
            warmup=(check_int, 0), weight_decay=(check_number, 0), clip=(check_positive,),
            precision=(check_choice, PRECISIONS), optimizer=(check_choice, OPTIMIZERS),
            record_every=(check_int,), energy_penalty=(check_number, 0),
        )  # fmt: skip


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: steps done; tokens: read in them; seconds: that they took.
        curve: [(step, mean loss, mean accuracy)], each the mean since the last.
        pending: (loss, accuracy) of the steps since the curve's last point.
        peak_memory_bytes, gpu_utilisation: see :class:`~hmlcore.training.monitor.Monitor`; None if unknown.
    """

    step: int = 0
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    pending: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0
    peak_memory_bytes: int | None = None
    gpu_utilisation: float | None = None

    @classmethod
    def restored(cls, saved: dict) -> "Progress":
        """From ``vars`` of one that went through JSON, which knows no tuples."""
        lists = {name: [tuple(entry) for entry in saved[name]] for name in ("curve", "pending")}
        return cls(**saved | lists)

    def count(self, tokens: int, loss: float, accuracy: float, config: TrainingConfig) -> None:
        """Another step is done; every `record_every` of them, and the last, end with a point of the curve."""
        self.step += 1
        self.tokens += tokens
        self.pending.append((loss, accuracy))
        if self.step % config.record_every == 0 or self.step == config.steps:
            means = (sum(column) / len(self.pending) for column in zip(*self.pending, strict=True))
            self.curve.append((self.step, *means))
            self.pending.clear()


class Paused(Exception):
    """The deadline came first; the checkpoint holds everything done so far."""

    def __init__(self, step: int, steps: int):
        super().__init__(f"paused at step {step} of {steps}")
        self.step, self.steps = step, steps
