"""Training: the loop and its step, data loading, checkpoints, retries, and Ray Train around them.

Imports `vrnn` and `pipelines`; Ray is imported in `ray_train` alone. `python -m vrnn.training` trains without Ray.
"""

from vrnn.training.checkpoints import Checkpoint, CheckpointPolicy, load_checkpoint
from vrnn.training.epoch_metrics import EpochRecord
from vrnn.training.loop import TrainResult, train
from vrnn.training.resources import Resources
from vrnn.training.spec import Optimisation, TrialSpec, plan_trial

__all__ = [
    "Checkpoint",
    "CheckpointPolicy",
    "EpochRecord",
    "Optimisation",
    "Resources",
    "TrainResult",
    "TrialSpec",
    "load_checkpoint",
    "plan_trial",
    "train",
]
