"""The metrics of an epoch: the sums over its steps, and the record that is made of them."""

import math
from dataclasses import dataclass, field

__all__ = ["EpochRecord", "EpochSums"]


@dataclass(frozen=True)
class EpochRecord:
    """The metrics of one epoch; nats are per frame, of the bound itself, without KL warm-up and free nats.

    Attributes:
        epoch: number of the epoch, from 1.
        step: optimiser steps so far, skipped ones included.
        train_nats_per_frame: mean over the epoch's steps, as the weights changed; nan if all were skipped.
        train_kl_nats_per_frame: its KL part; nan without a latent.
        valid_nats_per_frame: at the epoch's end, over the sequences that choose the checkpoint.
        valid_kl_nats_per_frame: its KL part; nan without a latent.
        gradient_norm_mean: mean norm of the epoch's gradients before clipping.
        gradient_norm_max: the largest of these norms.
        clipped_share: share of the steps whose gradient was clipped.
        skipped_steps: steps skipped because bound or gradient was not finite; the other metrics leave them out.
        learning_rate: learning rate of the next step.
        kl_factor: factor on the KL in the training objective of the next step.
        seconds: wall time of the epoch's training steps.
        frames_per_second: real frames over that time.
        data_wait_share: share of that time spent waiting for batches.
        fraction_of_peak: operations that no implementation can skip (`vrnn.device.peak.pass_operations`) over that
            time, as a share of the rate of large matrix products, measured briefly, of all workers.
        peak_memory_gib: the largest memory of a worker so far: of its GPU or, on a CPU, of its process.
        workers: number of workers that shared the batches at the epoch's end.
    """

    epoch: int
    step: int
    train_nats_per_frame: float
    train_kl_nats_per_frame: float
    valid_nats_per_frame: float
    valid_kl_nats_per_frame: float
    gradient_norm_mean: float
    gradient_norm_max: float
    clipped_share: float
    skipped_steps: int
    learning_rate: float
    kl_factor: float
    seconds: float
    frames_per_second: float
    data_wait_share: float = math.nan
    fraction_of_peak: float = math.nan
    peak_memory_gib: float = math.nan
    workers: int = 1


@dataclass
class EpochSums:
    """Sums over the steps of an unfinished epoch, which its checkpoints keep.

    Attributes:
        nats: the bound, over all sequences.
        kl_nats: its KL part; nan without a latent.
        frames: real frames.
        norms: norm of each step's gradient, before clipping.
        skipped: number of skipped steps.
        batches: number of global batches that the epoch has used.
        seconds: wall time of the steps.
        waited: seconds of that time spent waiting for batches.
    """

    nats: float = 0.0
    kl_nats: float = 0.0
    frames: int = 0
    norms: list[float] = field(default_factory=list[float])
    skipped: int = 0
    batches: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def add(self, nats: float, kl_nats: float, frames: int, norm: float) -> None:
        """Add a step."""
        self.nats += nats
        self.kl_nats += kl_nats
        self.frames += frames
        self.norms.append(norm)

    @property
    def nats_per_frame(self) -> float:
        """Mean bound per frame; this and the other means are nan where no step was taken."""
        return self.nats / self.frames if self.frames else math.nan

    @property
    def kl_nats_per_frame(self) -> float:
        """Mean KL per frame; nan without a latent too."""
        return self.kl_nats / self.frames if self.frames else math.nan

    @property
    def norm_mean(self) -> float:
        """Mean norm of the gradients before clipping."""
        return math.fsum(self.norms) / len(self.norms) if self.norms else math.nan

    @property
    def norm_max(self) -> float:
        """Largest norm of the gradients before clipping."""
        return max(self.norms, default=math.nan)

    def clipped_share(self, clip_norm: float) -> float:
        """Share of the steps whose gradient was longer than `clip_norm`."""
        return sum(norm > clip_norm for norm in self.norms) / len(self.norms) if self.norms else math.nan
