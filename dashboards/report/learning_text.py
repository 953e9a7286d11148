"""The sentences of the training section: one above each chart and table."""

from collections.abc import Sequence

from dashboards.report.training_curves import Outcome, Range, RunCurves, Speed, by_model, range_of
from dashboards.text import typeset

__all__ = ["gap_sentence", "kl_sentence", "outcome_sentence", "reconstruction_sentence", "speed_sentence"]

MODELS_NAMED = 3


def outcome_sentence(outcomes: Sequence[Outcome], runs: Sequence[RunCurves]) -> str:
    """The best epochs, whether runs were still improving at their end, and which diverged."""
    return " ".join(filter(None, (_best_epochs(outcomes), _still_improving(outcomes), _diverged(runs))))


def _best_epochs(outcomes: Sequence[Outcome]) -> str:
    known = [(o.model, o.best_epoch, o.epochs) for o in outcomes if o.best_epoch and o.epochs]
    if not known:
        return "No run has a best epoch."
    if len(known) <= MODELS_NAMED:
        parts = [f"{model} {_epochs(best)} of {_epochs(epochs)}" for model, best, epochs in known]
        return f"Best epoch: {', '.join(parts)}."
    first, last = (pick(known, key=lambda each: each[1].median) for pick in (min, max))
    if first[1].median == last[1].median:
        low, high = min(best.low for _, best, _ in known), max(best.high for _, best, _ in known)
        return f"The median best epoch of every model is {_epochs(Range(first[1].median, low, high, len(known)))}."
    ends = [f"{_epochs(best)} of {_epochs(epochs)} ({model})" for model, best, epochs in (first, last)]
    return f"Best epochs range from {ends[0]} to {ends[1]}."


def _epochs(found: Range) -> str:
    if found.low == found.high:
        return f"{found.low:.0f}"
    return f"{found.median:g} ({found.low:.0f} to {found.high:.0f})"


def _still_improving(outcomes: Sequence[Outcome]) -> str:
    ended = sum(o.runs - o.diverged for o in outcomes)
    improving = sum(o.still_improving for o in outcomes)
    if not ended:
        return ""
    runs = "run" if ended == 1 else "runs"
    if not improving:
        return f"None of {ended} {runs} was still improving at its end."
    verb = "was" if improving == 1 else "were"
    return f"{improving} of {ended} {runs} {verb} still improving at the end: more epochs may help."


def _diverged(runs: Sequence[RunCurves]) -> str:
    lost = [f"{run.model} seed {run.seed}" for run in runs if run.diverged]
    if not lost:
        return ""
    more = f" and {len(lost) - MODELS_NAMED} more" if len(lost) > MODELS_NAMED else ""
    return f"{len(lost)} diverged ({', '.join(lost[:MODELS_NAMED])}{more})."


def gap_sentence(outcomes: Sequence[Outcome]) -> str:
    """By how much the training scores exceed the validation scores."""
    known = [(o.gap, o.model) for o in outcomes if o.gap is not None]
    if not known:
        return "Training scores were not recorded."
    low, high = (pick(known, key=lambda each: each[0].median) for pick in (min, max))
    start = "At the best epoch, the training score is"
    if _above(low[0].median) == _above(high[0].median):
        return f"{start} {_above(low[0].median)} validation{_for_models(known)}."
    # If training is below validation for all models, the lowest value is the largest gap.
    if high[0].median < 0:
        low, high = high, low
    return f"{start} {_above(high[0].median)} validation for {high[1]} (most) and {_above(low[0].median)} for {low[1]}."


def _for_models(known: Sequence[tuple[Range, str]]) -> str:
    return f" for {known[0][1]}" if len(known) == 1 else " for every model"


def _above(gap: float) -> str:
    return f"{abs(gap):.2f} nats per frame {'above' if gap >= 0 else 'below'}"


def kl_sentence(runs: Sequence[RunCurves]) -> str:
    """The models with the largest and the smallest KL divergence."""
    return _extremes(runs, "valid_kl_nats_per_frame", "The KL")


def reconstruction_sentence(runs: Sequence[RunCurves]) -> str:
    """The models with the best and the worst reconstruction."""
    return _extremes(runs, None, "The reconstruction")


def _extremes(runs: Sequence[RunCurves], column: str | None, subject: str) -> str:
    known = []
    for model, members in by_model(runs).items():
        found = range_of(run.at_best(run.columns[column] if column else run.reconstruction) for run in members)
        if found is not None:
            known.append((found, model))
    if not known:
        return "No run has a best epoch."
    low, high = (pick(known, key=lambda each: each[0].median) for pick in (min, max))
    start = f"{subject} at the best epoch has a median of {_with_range(high[0])} nats per frame"
    if typeset(low[0].median, ".2f") == typeset(high[0].median, ".2f"):
        return f"{start}{_for_models(known)}."
    return f"{start} for {high[1]} (highest) and {_with_range(low[0])} for {low[1]} (lowest)."


def _with_range(found: Range) -> str:
    median, low, high = (typeset(value, ".2f") for value in (found.median, found.low, found.high))
    return f"{median} ({low} to {high} over {found.count} seeds)" if found.count > 1 else median


def speed_sentence(speeds: Sequence[Speed]) -> str:
    """The fastest and the slowest model, and the duration of all training steps."""
    known = [(speed.frames_per_second, speed.model) for speed in speeds if speed.frames_per_second is not None]
    sentences: list[str] = []
    if known:
        low, high = (pick(known, key=lambda each: each[0].median) for pick in (min, max))
        most, least = (f"{each[0].median:,.0f}" for each in (high, low))
        if most == least:
            sentences.append(f"The median speed is {most} frames per second{_for_models(known)}.")
        else:
            sentences.append(
                f"{high[1]} is the fastest (median {most} frames per second), {low[1]} the slowest ({least})."
            )
    if seconds := [speed.seconds for speed in speeds if speed.seconds is not None]:
        sentences.append(f"Training steps took {_duration(sum(seconds))} in total.")
    return " ".join(sentences) or "Speeds were not recorded."


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
