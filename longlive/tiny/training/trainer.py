"""One training stage on a CPU: bfloat16 compute, float32 master weights, processes of one thread each.

Two threads in one process are slower than two processes of one thread on small models, so gradients are averaged by
one flat all-reduce over gloo. A stage saves itself and goes on where it stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from longlive.tiny.training import work_file
from longlive.tiny.training.errors import TrainingError
from longlive.tiny.training.work_file import Origin, digest

SAVE_SECONDS = 60.0
REPORT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Length and learning rates of one stage; `steps` counts updates, `batch` is per process."""

    name: str
    steps: int
    batch: int
    adam_lr: float
    muon_lr: float | None = None
    ema: float | None = None
    warmup: int = 50
    decay_from: float = 0.0  # share of the stage after which the rate falls on a cosine to zero


@dataclass(frozen=True, slots=True)
class Worker:
    """This process among its peers."""

    rank: int
    world: int

    def wait(self) -> None:
        """Returns when all workers have got here."""
        if self.world > 1:
            dist.barrier()

    def seed(self, stage: str, step: int) -> int:
        """A seed of this worker's batch, so that a resumed run draws what an uninterrupted one would have drawn."""
        name = sum(ord(c) * 31**i for i, c in enumerate(stage)) % 1_000_003
        return (name * 1_000_003 + step) * 64 + self.rank


class Trainer:
    """Drives one stage of `module`, whose parameters are bfloat16 and stay so.

    `muon` names the parameters that Muon moves (hidden matrices); AdamW takes the others. `origin` names what else the
    result depends on. A stage that was stopped goes on; ResumeError if its file is damaged or of another origin.
    """

    def __init__(
        self,
        module: nn.Module,
        stage: Stage,
        worker: Worker,
        directory: Path,
        origin: Origin,
        muon: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stage, self.worker = stage, worker
        self.origin = {
            **origin,
            "number of processes": str(worker.world),
            f"length or rate of stage '{stage.name}'": repr(stage),
            "start of the weights": digest(module.state_dict()),
        }
        self._clock = clock
        self.path = directory / f"{stage.name}.train.pt"
        self.params = {name: p for name, p in module.named_parameters() if p.requires_grad}
        names = set(muon)
        # Muon wants matrices: a convolution is one row per output channel.
        self.masters = {
            name: nn.Parameter((p.flatten(1) if name in names else p).detach().float().clone())
            for name, p in self.params.items()
        }
        self.average = {name: p.detach().clone() for name, p in self.masters.items()} if stage.ema else None
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [p for n, p in self.masters.items() if n not in names], stage.adam_lr, (0.9, 0.98), weight_decay=1e-4
            )
        ]
        if stage.muon_lr is not None:
            matrices = [p for n, p in self.masters.items() if n in names]
            self.optimizers.append(torch.optim.Muon(matrices, stage.muon_lr, weight_decay=1e-3, nesterov=True))
        self.rates = [group["lr"] for o in self.optimizers for group in o.param_groups]
        self.step = 0
        if self.path.exists():
            self._restore()

    def run(self, loss_of: Callable[[int], dict[str, Tensor]], report: Callable[[str], None]) -> None:
        """Trains to the end of the stage. `loss_of(step)` gives named losses; the one named `loss` is followed.

        TrainingError if a gradient is no finite number.
        """
        began, first = self._clock(), self.step
        shown, saved = began, began
        averages: dict[str, float] = {}
        while self.step < self.stage.steps:
            losses = loss_of(self.step)
            losses["loss"].backward()
            self._update()
            for name, value in losses.items():
                number = float(value.detach())
                averages[name] = 0.97 * averages.get(name, number) + 0.03 * number
            self.step += 1
            now, done = self._clock(), self.step == self.stage.steps
            if self.worker.rank == 0 and (now - shown >= REPORT_SECONDS or done):
                shown = now
                left = (now - began) / (self.step - first) * (self.stage.steps - self.step)
                numbers = "  ".join(f"{name} {value:.4f}" for name, value in averages.items())
                report(f"{self.stage.name} {self.step}/{self.stage.steps}  {numbers}  {left / 60:.1f} min left")
            if self.worker.rank == 0 and (now - saved >= SAVE_SECONDS or done):
                saved = now
                self._save()
        self._finish()

    def _finish(self) -> None:
        """Puts the averaged weights, where the stage keeps an average, into the module."""
        source = self.average or self.masters
        with torch.no_grad():
            for name, p in self.params.items():
                p.copy_(source[name].view_as(p))

    def _update(self) -> None:
        stage = self.stage
        flat = torch.cat([p.grad.flatten().float() if p.grad is not None else torch.zeros(p.numel())
                          for p in self.params.values()])  # fmt: skip
        if self.worker.world > 1:
            dist.all_reduce(flat)
            flat /= self.worker.world
        norm = flat.norm()
        if not norm.isfinite():
            raise TrainingError(
                f"a gradient of stage '{stage.name}' is no finite number at update {self.step}, which was not saved; "
                "go on with --resume, and if that ends here again, with a lower learning rate from the start"
            )
        flat *= (1.0 / (norm + 1e-6)).clamp(max=1.0)
        for piece, (name, p) in zip(
            flat.split([p.numel() for p in self.params.values()]), self.params.items(), strict=True
        ):
            self.masters[name].grad = piece.view_as(self.masters[name])
            p.grad = None
        share = self.step / stage.steps
        factor = min(1.0, (self.step + 1) / stage.warmup)
        if share > stage.decay_from:
            factor *= 0.5 + 0.5 * math.cos(math.pi * (share - stage.decay_from) / (1 - stage.decay_from))
        groups = [group for o in self.optimizers for group in o.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * factor
        for optimizer in self.optimizers:
            optimizer.step()
        with torch.no_grad():
            for name, p in self.params.items():
                p.copy_(self.masters[name].view_as(p))
            if self.average is not None and stage.ema is not None:
                decay = min(stage.ema, (self.step + 1) / (self.step + 10))
                torch._foreach_lerp_(list(self.average.values()), list(self.masters.values()), 1 - decay)

    def _save(self) -> None:
        state = {
            "step": self.step,
            "masters": dict(self.masters),
            "average": self.average,
            "optimizers": [o.state_dict() for o in self.optimizers],
        }
        work_file.write(self.path, self.origin, state)

    def _restore(self) -> None:
        state = work_file.read(self.path, self.origin)
        self.step = state["step"]
        with torch.no_grad():
            for name, master in self.masters.items():
                master.copy_(state["masters"][name])
                self.params[name].copy_(master.view_as(self.params[name]))
                if self.average is not None:
                    self.average[name].copy_(state["average"][name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
