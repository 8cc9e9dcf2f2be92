"""What the loop works on: the task, its progress, and its living parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from segclf.core.settings import TrainSettings
from segclf.data import Batch
from segclf.training.cost import Cost
from segclf.training.identity import Identity
from segclf.training.log import MetricsLog
from segclf.training.measures import Numbers, validation_numbers

Event = dict[str, Any]
EventSink = Callable[[Event], None]


@dataclass(frozen=True)
class Task:
    """What is trained: everything in which a segmenter and a classifier differ."""

    kind: Literal["segment", "classify"]
    network: nn.Module
    """`forward(image) -> raw outputs`; trained in place."""
    spatial_dims: int
    batches: Callable[[int, int, int, int], Iterator[Batch]]
    """`(start_step, n_steps, rank, world)` to the batches of those steps, as a generator."""
    loss: Callable[[Tensor, Batch], Tensor]
    """Raw outputs and their batch to a scalar."""
    measure: Callable[[nn.Module, int, int], np.ndarray]
    """`(network, rank, world)` to a `(case, finding, measure)` array over all validation cases,
    zero for the cases of other ranks; see `measures.MEASURES`."""
    identity: Identity
    """What a resumed training must agree in."""
    select_by: str = "auroc"
    """`auroc` or `dice`."""
    numbers: Callable[[np.ndarray], Numbers] = validation_numbers
    """What `measure` gave for all validation cases, to the numbers of a validation."""
    inputs: Callable[[Batch], Tensor] = attrgetter("image")
    """What of a batch on its device the network is given."""
    ema: float | None = None
    """Decay of the moving average of weights that this task needs; None takes `train.ema`."""
    taught: Callable[[Tensor, Batch, nn.Module], Tensor] | None = None
    """A loss beside `loss` that also reads the moving average of the network, its teacher; called
    in the number format of the training."""


@dataclass(frozen=True)
class FitResult:
    """How a training ended; the network holds the selected weights."""

    n_steps: int
    """Steps taken; fewer than the recipe's if it stopped early."""
    best_step: int
    """Step of the selected weights."""
    validation: Numbers
    """Numbers of the selected weights."""
    precision: str


@dataclass
class Progress:
    """Where a training stands: what `state.json` holds."""

    step: int = 0
    best_step: int | None = None
    best_key: list[float] | None = None
    best: Numbers | None = None
    """Validation numbers of the best weights so far."""
    last: Numbers | None = None
    """The latest validation numbers."""
    n_without_better: int = 0
    losses: list[float] = field(default_factory=list)
    """Read since the last report."""
    is_finished: bool = False


@dataclass
class Training:
    """The living parts of one training."""

    task: Task
    settings: TrainSettings
    seed: int
    root: Path
    """The folder of checkpoints."""
    fabric: Fabric
    network: nn.Module
    """As Fabric wraps it, with its number format and gradient exchange."""
    optimizer: torch.optim.Optimizer
    average: nn.Module | None
    """Moving average of the weights."""
    progress: Progress
    on_event: EventSink
    log: MetricsLog | None
    """On the first rank only."""
    begun: tuple[float, int]
    """Time in seconds and step at which this process began."""
    cost: Cost
    unread: list[tuple[Tensor, list[str]]] = field(default_factory=list)
    """Losses still on the device, with the cases of their batch."""
    last_case_ids: list[str] = field(default_factory=list)
    """Of the latest batch whose loss was read."""

    @property
    def decay(self) -> float | None:
        """Of the moving average of the weights."""
        return decay_of(self.task, self.settings)

    @property
    def root_network(self) -> nn.Module:
        """The network without Fabric's wrapper."""
        return self.task.network

    def say(self, **event: Any) -> None:  # noqa: ANN401 (plain data)
        """Tell the caller, from the first rank alone."""
        if self.log is not None:
            self.on_event({"task": self.task.kind, **event})


def decay_of(task: Task, settings: TrainSettings) -> float | None:
    """Decay of the moving average that the task needs, else the one that the recipe asks for."""
    return settings.ema if task.ema is None else task.ema
