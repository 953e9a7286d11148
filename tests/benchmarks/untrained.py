"""Checkpoints that no training has been spent on: what generation does is the same."""

import torch

from pipelines.batches.protocol import Framing
from pipelines.batches.roles import assign_roles
from pipelines.shards.read import ShardSet
from vrnn.models import build_model
from vrnn.training import Checkpoint, Optimisation
from vrnn.training.checkpoints import TrainingState
from vrnn.training.spec import plan_trial


def untrained(shards: ShardSet, model: str, protocol: str = "clean") -> Checkpoint:
    """A tiny model for these shards, with its first weights."""
    spec = plan_trial(shards.location.uri, protocol, model, "tiny", Optimisation())
    roles = assign_roles(shards, spec.protocol)
    return Checkpoint(
        spec=spec,
        corpus=shards.manifest.corpus,
        framing=Framing.fit(spec.protocol, shards.manifest),
        report_split=roles.report_split,
        roles_rule=roles.rule,
        weights=build_model(spec.model, torch.Generator().manual_seed(0)).state_dict(),
        state=TrainingState(),
    )
