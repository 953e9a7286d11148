"""A trial from the names that a person gives: shards, a protocol, a model and a size."""

from pipelines.batches.protocol import Framing, find_protocol
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from vrnn.models import preset
from vrnn.nn.discretised import Quantisation
from vrnn.training.spec import Optimisation, TrialSpec

__all__ = ["plan_trial"]


def plan_trial(
    shards: str, protocol: str, model: str, size: str, optimisation: Optimisation, seed: int = 0
) -> TrialSpec:
    """The spec of one trial.

    A discretised emission gives probabilities to the recorded integers themselves: it is told their scale, and its
    frames are not dequantised whatever the protocol says.

    Raises:
        InputError: there are no shards, or no such protocol for their kind.
        ModelError: no such model or size for their kind.
    """
    manifest = Manifest.load(Location(shards))
    rules = find_protocol(protocol, manifest.kind, manifest.corpus)
    framing = Framing.fit(rules, manifest)
    config = preset(model, manifest.kind, size, Quantisation(framing.mean[0], framing.std[0]))
    if config.quantisation is not None:
        rules = rules.model_copy(update={"dequantise": False})
    return TrialSpec(
        shards=shards,
        fingerprint=manifest.fingerprint,
        protocol=rules,
        model=config.to_dict(),
        optimisation=optimisation,
        seed=seed,
    )
