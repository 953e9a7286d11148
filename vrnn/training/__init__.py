"""Training: the loop, its checkpoints, and the Ray Train driver around it.

`python -m vrnn.training` runs the same loop without Ray.
"""

from vrnn.training.checkpoints import Checkpoint, load_checkpoint
from vrnn.training.loop import TrainResult, train
from vrnn.training.spec import Optimisation, TrialSpec

__all__ = ["Checkpoint", "Optimisation", "TrainResult", "TrialSpec", "load_checkpoint", "train"]
