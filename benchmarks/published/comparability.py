"""Published numbers next to our scores: may the two be compared, and if not, what blocks it?

Two likelihoods differ by what was scored, in which unit and by which bound long before they differ by how good a model
is. Every pair therefore gets a verdict with its reasons: a **blocker** makes the pair incomparable, a **note** tells
the reader of a comparable pair something. What is not known about the published number blocks the pair, as what differs
does: equality is never assumed. Compared is the same model, trained on the same data and scored on the same sequences,
and a difference is stated for such pairs alone.

A score is paired with every published number of its corpus and model that has the same kind of bound: `exact`, `elbo`,
or estimated with samples (`iwae`, `fivo`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from benchmarks.published.literature import Published, load_published
from benchmarks.schema.comparison import Bound, ComparisonRow, PublishedComparison, Reason, Unit
from benchmarks.schema.units import nats_per_frame
from pipelines.batches.protocol import Protocol, find_protocol
from pipelines.signals import Kind

__all__ = ["BLOCKERS", "NOTES", "compare_with_published"]

BLOCKERS: Mapping[str, str] = {
    "unit": "no unit to state both in",
    "other_measure": "one is a density of normalised frames, the other a probability of integers, and neither in bits",
    "measure_unknown": "whether theirs is a density or a probability of integers is not known",
    "other_quantisation": "masses of other integers: linear against mu-law",
    "quantisation_unknown": "which integers theirs is a mass of is not known",
    "other_bound": "another estimator, or another number of samples K",
    "code_not_released": "what theirs was scored on, and how, cannot be checked",
    "other_split": "another split was scored",
    "split_unknown": "which split theirs is of is not known",
    "other_sequences": "more or fewer sequences were scored: not the same data",
    "sequences_unknown": "how many sequences theirs is of is not known",
    "other_windows": "recordings were cut into other sequences, each from the zero state",
    "windows_unknown": "what a sequence is in theirs is not known",
    "other_frame_size": "frames of another size",
    "frame_size_unknown": "their frame size is not known",
    "frames_left_out": "frames that ours scores are not in theirs",
    "counts_padding": "theirs scores padded frames",
    "padding_unknown": "whether theirs scores padded frames is not known",
    "other_normalisation": "frames were normalised otherwise, which moves a density",
    "normalisation_unknown": "how their frames were normalised is not known",
    "other_dequantisation": "noise was added to the integers of one of them alone",
    "dequantisation_unknown": "whether theirs adds noise to the integers is not known",
    "other_floor": "another floor under sigma, which decides a density on quantised values",
    "floor_unknown": "their floor under sigma is not known",
    "other_size": "a model of another size",
    "size_unknown": "the size of their model is not known",
    "other_training": "fitted on other splits",
    "training_unknown": "what theirs was fitted on is not known",
    "other_training_sequences": "fitted on more or fewer sequences: not the same data",
    "training_sequences_unknown": "how many sequences theirs was fitted on is not known",
}
"""What makes a pair incomparable, by code."""

NOTES: Mapping[str, str] = {
    "recalled": "their number is from memory of the paper",
    "validation": "theirs is a validation score: the reported set also chose the checkpoint",
    "intra_frame": "their table has no rival known to be autoregressive inside a frame, so it flatters a latent",
    "rounded": "their number is rounded",
    "sampler_not_released": "how theirs was estimated from samples cannot be checked",
    "note": "about their number",
}
"""What a reader should know about a pair, by code."""

_KINDS: Mapping[str, Bound] = {"exact": "exact", "elbo": "elbo", "iwae": "iwae", "fivo": "iwae"}


def compare_with_published(
    rows: Iterable[ComparisonRow], published: Iterable[Published] | None = None
) -> list[PublishedComparison]:
    """Every pair of one of our scores and a published number, in the order of the rows.

    Args:
        rows: of the table.
        published: the numbers; None for those of `benchmarks/published`.

    Raises:
        InputError: a row's protocol is not known.
    """
    numbers = load_published() if published is None else tuple(published)
    return [
        _compare(row, theirs)
        for row in rows
        for theirs in numbers
        if (row.dataset, row.model) == (theirs.number.corpus, theirs.number.our_model)
        and _KINDS.get(row.estimator) == theirs.number.bound
    ]


@dataclass(frozen=True)
class _Pair:
    row: ComparisonRow
    protocol: Protocol
    theirs: Published

    @property
    def window(self) -> int | None:
        """Frames of our windows; None for whole recordings, of which `clean` cuts only what is longer than 40 s."""
        return None if self.protocol.rest_kept else self.protocol.window_frames

    @property
    def same_frames(self) -> bool:
        return self.protocol.frame_size == self.theirs.number.frame_size

    @property
    def is_density(self) -> bool:
        return self.row.measure == "density"


def _compare(row: ComparisonRow, theirs: Published) -> PublishedComparison:
    pair = _Pair(row, find_protocol(row.protocol, cast(Kind, row.kind), row.dataset), theirs)
    reasons = [reason for check in _CHECKS for reason in check(pair)]
    reasons.sort(key=lambda reason: not reason.blocks)
    common, number = _common(pair), theirs.number
    unit, ours, their_value = common or (None, None, None)
    comparable = not any(reason.blocks for reason in reasons)
    return PublishedComparison(
        corpus=row.corpus,
        dataset=row.dataset,
        protocol=row.protocol,
        model=row.model,
        estimator=row.estimator,
        num_samples=row.num_samples,
        split=row.split,
        fingerprint=row.fingerprint,
        measure=row.measure,
        source=theirs.source,
        published_model=number.model,
        published_bound=number.bound,
        published_num_samples=number.num_samples,
        published_value=number.value,
        published_unit=number.unit,
        provenance=number.provenance,
        unit=unit,
        ours=ours,
        theirs=their_value,
        difference=common[1] - common[2] if common and comparable else None,
        comparable=comparable,
        reasons=tuple(reasons),
    )


_Common: TypeAlias = tuple[Unit, float, float]
"""A unit, and ours and theirs in it."""


def _common(pair: _Pair) -> _Common | None:
    row, number = pair.row, pair.theirs.number
    if number.unit == "bits_per_sample":
        return None if row.bits_per_sample is None else (number.unit, row.bits_per_sample, number.value)
    if row.measure != pair.theirs.setting.measure:
        return None
    if number.unit != "nats_per_sequence":
        return (number.unit, row.nats_per_frame, number.value) if pair.same_frames else None
    # Per sequence where both have the same sequences; else per frame, where their number of frames is known.
    setting, frames = pair.theirs.setting, pair.theirs.setting.frames_per_sequence
    if setting.sequence is not None and pair.window == frames and (frames is None or pair.same_frames):
        return "nats_per_sequence", row.nats_per_sequence, number.value
    if frames is None or not pair.same_frames:
        return None
    return "nats_per_frame", row.nats_per_frame, nats_per_frame(number.value, frames)


def _blocker(code: str, sentence: str) -> Iterator[Reason]:
    assert code in BLOCKERS
    yield Reason(code=code, sentence=sentence, blocks=True)


def _note(code: str, sentence: str | None = None) -> Iterator[Reason]:
    yield Reason(code=code, sentence=sentence or NOTES[code], blocks=False)


def _equal(what: str, ours: object, theirs: object, label: str) -> Iterator[Reason]:
    """A blocker where theirs is not known, or differs."""
    if theirs is None:
        yield from _blocker(f"{what}_unknown", BLOCKERS[f"{what}_unknown"])
    elif ours != theirs:
        yield from _blocker(f"other_{what}", f"{label}: ours {_text(ours)}, theirs {_text(theirs)}")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " + ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _unit(pair: _Pair) -> Iterator[Reason]:
    if _common(pair) is None:
        unknown = pair.theirs.number.unit == "nats_per_sequence" and pair.theirs.setting.sequence is None
        cause = ": what a sequence of theirs is, is not known" if unknown else ""
        yield from _blocker("unit", f"no unit to state their {pair.theirs.number.unit} and ours in{cause}")


def _measure(pair: _Pair) -> Iterator[Reason]:
    setting, row = pair.theirs.setting, pair.row
    if pair.theirs.number.unit != "bits_per_sample" or setting.measure is None:
        yield from _equal("measure", row.measure, setting.measure, "measure")
    if setting.measure == "mass" and not pair.is_density:
        yield from _equal("quantisation", "linear", setting.quantisation, "integers")


def _bound(pair: _Pair) -> Iterator[Reason]:
    ours = (pair.row.estimator, pair.row.num_samples)
    theirs = (pair.theirs.number.bound, pair.theirs.number.num_samples)
    if ours != theirs:
        one, other = (name if samples == 1 else f"{name}-{samples}" for name, samples in (ours, theirs))
        yield from _blocker("other_bound", f"bound: ours {one}, theirs {other}")
    if theirs[0] == "iwae" and pair.theirs.setting.sampler_released is False:
        yield from _note("sampler_not_released")


def _data(pair: _Pair) -> Iterator[Reason]:
    row, setting = pair.row, pair.theirs.setting
    if setting.code_released is False:
        yield from _blocker("code_not_released", f"their code for {row.dataset} was never released")
    yield from _equal("split", row.split, setting.split, "split scored")
    yield from _equal("sequences", row.sequences, setting.sequences, "sequences scored")
    if setting.split == "valid":
        yield from _note("validation")


def _frames(pair: _Pair) -> Iterator[Reason]:
    number, setting = pair.theirs.number, pair.theirs.setting
    if setting.sequence is None:
        yield from _blocker("windows_unknown", BLOCKERS["windows_unknown"])
    elif pair.window != setting.frames_per_sequence:
        theirs = _cut(setting.frames_per_sequence, rest_kept=False)
        ours = _cut(pair.protocol.window_frames, rest_kept=pair.protocol.rest_kept)
        yield from _blocker("other_windows", f"a sequence: ours {ours}, theirs {theirs}")
    yield from _equal("frame_size", pair.protocol.frame_size, number.frame_size, "values a frame")
    if setting.left_out is not None:
        yield from _blocker("frames_left_out", f"theirs leaves out {setting.left_out}")
    if setting.counts_padding is None:
        yield from _blocker("padding_unknown", BLOCKERS["padding_unknown"])
    elif setting.counts_padding:
        yield from _blocker("counts_padding", BLOCKERS["counts_padding"])


def _cut(window: int | None, *, rest_kept: bool) -> str:
    if window is None:
        return "whole"
    return f"whole up to {window:,} frames" if rest_kept else f"a window of {window:,} frames"


def _density(pair: _Pair) -> Iterator[Reason]:
    """What moves a density and leaves a mass as it is."""
    if pair.is_density:
        setting, protocol = pair.theirs.setting, pair.protocol
        yield from _equal("normalisation", protocol.normalisation, setting.normalisation, "normalisation")
        yield from _equal("dequantisation", protocol.dequantise, setting.dequantised, "noise added to the integers")
        yield from _equal("floor", pair.row.sigma_floor, setting.sigma_floor, "floor under sigma")


def _model(pair: _Pair) -> Iterator[Reason]:
    row, setting = pair.row, pair.theirs.setting
    yield from _equal("size", row.parameters, pair.theirs.number.parameters, "parameters")
    yield from _equal("training", pair.protocol.train_on, setting.train_on, "fitted on")
    yield from _equal("training_sequences", row.training_sequences, setting.training_sequences, "sequences fitted on")


def _reading(pair: _Pair) -> Iterator[Reason]:
    number = pair.theirs.number
    if number.provenance == "recalled":
        yield from _note("recalled")
    has_latent = number.bound != "exact"
    if has_latent and pair.row.kind == "speech" and pair.theirs.paper.intra_frame_rival is not True:
        yield from _note("intra_frame")
    if number.rounded_to is not None:
        yield from _note("rounded", f"their number is rounded to {number.rounded_to:g}")
    if number.note is not None:
        yield from _note("note", f"about their number: {number.note}")


_CHECKS = (_unit, _measure, _bound, _data, _frames, _density, _model, _reading)
