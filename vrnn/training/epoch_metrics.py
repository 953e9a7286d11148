"""What an epoch's steps come to: the sums that its record is made of."""

import math
from dataclasses import dataclass, field

__all__ = ["Tally"]


@dataclass
class Tally:
    """Sums over the steps taken, and the count of those left out.

    Attributes:
        nats: the bound, over all sequences.
        kl_nats: the KL part of it; nan without a latent.
        frames: real ones.
        norms: of each step's gradient, before clipping.
        skipped: steps left out.
        batches: global batches whose steps these are.
        seconds: wall time of the steps.
        waited: of that, for batches.
    """

    nats: float = 0.0
    kl_nats: float = 0.0
    frames: int = 0
    norms: list[float] = field(default_factory=list)
    skipped: int = 0
    batches: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def add(self, nats: float, kl_nats: float, frames: int, norm: float) -> None:
        """Count a step."""
        self.nats += nats
        self.kl_nats += kl_nats
        self.frames += frames
        self.norms.append(norm)

    @property
    def nats_per_frame(self) -> float:
        """Nan where no step was taken, as are all shares and means here."""
        return self.nats / self.frames if self.frames else math.nan

    @property
    def kl_nats_per_frame(self) -> float:
        """Nan without a latent too."""
        return self.kl_nats / self.frames if self.frames else math.nan

    @property
    def norm_mean(self) -> float:
        """Of the gradients before clipping."""
        return math.fsum(self.norms) / len(self.norms) if self.norms else math.nan

    @property
    def norm_max(self) -> float:
        """Of the gradients before clipping."""
        return max(self.norms, default=math.nan)

    def clipped_share(self, clip_norm: float) -> float:
        """Of the steps taken, how many had a longer gradient than `clip_norm`."""
        return sum(norm > clip_norm for norm in self.norms) / len(self.norms) if self.norms else math.nan
