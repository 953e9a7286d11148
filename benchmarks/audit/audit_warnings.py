"""What an audit makes worth a warning; `benchmarks.audit.audit` says how it is measured and why."""

from collections.abc import Iterator

from benchmarks.schema.audit import Audit, BelowZero

__all__ = ["warnings_of"]

_NOTABLE = 0.01
"""A share of the mean term, or of the frames, from which a reader is warned."""
_CHANCE_NATS = 1.0
"""Nats per frame that dequantisation noise may gain by chance: see `benchmarks.audit.audit`."""


def warnings_of(found: Audit) -> Iterator[str]:
    """What a reader must know. Whether silence and floors decide a score is asked only of densities on integers."""
    coverage = found.coverage
    if coverage.sequences_left_out or coverage.share_left_out > _NOTABLE:
        yield (
            f"protocol {found.protocol} leaves {coverage.share_left_out:.1%} of split {found.split} unscored, "
            f"{coverage.sequences_left_out:,} of {coverage.sequences:,} sequences as a whole: a score under another "
            "protocol is of other data"
        )
    if found.not_finite:
        yield f"{found.not_finite:,} of {coverage.frames_scored:,} frames have no finite score, so the split has none"
    elif found.below_zero is not None:
        yield from _below_zero_warnings(found, found.below_zero)
        if not found.below_zero.dequantised:
            yield from _silence_and_floor_warnings(found)


def _below_zero_warnings(found: Audit, below: BelowZero) -> Iterator[str]:
    gained, capped = below.nats_per_frame, below.capped_nats_per_frame
    assert gained is not None
    assert found.mean_size is not None
    what = f"{below.share_of_frames:.1%} of frames have a density above 1 on the scale of the recorded integers"
    if below.dequantised:
        if gained > _CHANCE_NATS:
            yield (
                f"{what} and gain {gained:.3f} nats per frame by it, where independent noise allows 1: noise and model "
                "are not independent"
            )
    elif below.share_of_frames > _NOTABLE or gained > _NOTABLE * found.mean_size:
        yield (
            f"{what}, which no code can reach: quantisation gains at least {gained:.3f} nats per frame, without which "
            f"the score is {capped:.3f}, not {found.nats_per_frame:.3f}; compare under protocol clean"
        )


def _silence_and_floor_warnings(found: Audit) -> Iterator[str]:
    score, size, other = found.nats_per_frame, found.mean_size, found.parts[-1].nats_per_frame
    assert score is not None
    assert size is not None
    if other is None:
        yield "every frame is constant or near-silent: the score is of silence alone"
    elif score - other > _NOTABLE * size:
        quiet = 1 - found.parts[-1].share_of_frames
        yield (
            f"constant and near-silent frames, {quiet:.1%} of all, raise the score from {other:.3f} to {score:.3f} "
            "nats per frame: it measures how narrow a model is where nothing moves"
        )
    own, half_step = found.floors[0], found.floors[-1]
    assert half_step.change is not None
    if half_step.sigma_floor > own.sigma_floor and half_step.change < -_NOTABLE * size:
        yield (
            f"sigma's floor moves the score: at {own.sigma_floor:.2g} ({own.steps:.2g} quantisation steps) it is "
            f"{own.nats_per_frame:.3f} nats per frame, at {half_step.sigma_floor:.2g} (half a step) the same weights "
            f"have {half_step.nats_per_frame:.3f}: compare at one floor only"
        )
