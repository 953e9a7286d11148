"""What follows from the learning curves, in sentences: one above each figure of the section."""

from collections.abc import Sequence

from dashboards.report.training_curves import Course, Outcome, Range, Speed, by_model, range_of
from dashboards.text import typeset

__all__ = ["say_gaps", "say_kl", "say_outcomes", "say_reconstruction", "say_speeds"]

MODELS_NAMED = 3


def say_outcomes(outcomes: Sequence[Outcome], courses: Sequence[Course]) -> str:
    """When the models were at their best, and whether they had stopped rising."""
    return " ".join(filter(None, (_best_epochs(outcomes), _rising(outcomes), _diverged(courses))))


def _best_epochs(outcomes: Sequence[Outcome]) -> str:
    known = [(o, o.best_epoch, o.epochs) for o in outcomes if o.best_epoch is not None and o.epochs is not None]
    if not known:
        return "No run has a best epoch."
    if len(known) <= MODELS_NAMED:
        parts = [f"{o.model} after {_epochs(best)} of {_epochs(all_)}" for o, best, all_ in known]
        return f"Best epoch: {', '.join(parts)}."
    first, last = (pick(known, key=lambda each: each[1].median) for pick in (min, max))
    if first[1].median == last[1].median:
        low, high = min(best.low for _, best, _ in known), max(best.high for _, best, _ in known)
        return (
            f"The best epoch of every model came after {_epochs(Range(first[1].median, low, high, len(known)))} epochs."
        )
    return (
        f"The best epoch came after {_epochs(first[1])} of {_epochs(first[2])} ({first[0].model}, the soonest) "
        f"to {_epochs(last[1])} of {_epochs(last[2])} epochs ({last[0].model}, the latest)."
    )


def _epochs(found: Range) -> str:
    if found.low == found.high:
        return f"{found.low:.0f}"
    return f"{found.median:g} ({found.low:.0f} to {found.high:.0f})"


def _rising(outcomes: Sequence[Outcome]) -> str:
    ended = sum(o.runs - o.diverged for o in outcomes)
    rising = sum(o.still_rising for o in outcomes)
    if not ended:
        return ""
    if not rising:
        return f"{_none_of(ended)} was still rising at its end."
    were = "was" if rising == 1 else "were"
    return f"{rising} of {ended} {_runs(ended)} {were} still rising at the end: more epochs may bring more."


def _none_of(ended: int) -> str:
    return "Not one run" if ended == 1 else f"None of {ended} runs"


def _runs(count: int) -> str:
    return "run" if count == 1 else "runs"


def _diverged(courses: Sequence[Course]) -> str:
    lost = [f"{course.model} seed {course.seed}" for course in courses if course.diverged]
    if not lost:
        return ""
    named = ", ".join(lost[:MODELS_NAMED])
    more = f" and {len(lost) - MODELS_NAMED} more" if len(lost) > MODELS_NAMED else ""
    return f"{len(lost)} diverged ({named}{more})."


def say_gaps(outcomes: Sequence[Outcome]) -> str:
    """By how much the training figures lie above those of validation."""
    known = [(o.gap, o.model) for o in outcomes if o.gap is not None]
    if not known:
        return "Training figures were not recorded."
    low, high = (pick(known, key=lambda each: each[0].median) for pick in (min, max))
    if _above(low[0].median) == _above(high[0].median):
        return f"At the best epoch the training figure is {_above(low[0].median)} that of validation{_whose(known)}."
    if high[0].median < 0:
        low, high = high, low
    return (
        f"At the best epoch the training figure is {_above(high[0].median)} that of validation for {high[1]}, "
        f"the most, and {_above(low[0].median)} it for {low[1]}, the least."
    )


def _whose(known: Sequence[tuple[Range, str]]) -> str:
    return f" for {known[0][1]}" if len(known) == 1 else " for every model"


def _above(gap: float) -> str:
    return f"{abs(gap):.2f} nats per frame {'above' if gap >= 0 else 'below'}"


def say_kl(courses: Sequence[Course]) -> str:
    """Which latent carries most, and which least."""
    return _say_most(courses, "valid_kl_nats_per_frame", "The latent carries a median of")


def say_reconstruction(courses: Sequence[Course]) -> str:
    """Which model explains a frame best once its latent is known."""
    return _say_most(courses, None, "The reconstruction reaches a median of")


def _say_most(courses: Sequence[Course], column: str | None, opening: str) -> str:
    known = []
    for model, members in by_model(courses).items():
        found = range_of(c.at_best(c.columns[column] if column else c.reconstruction) for c in members)
        if found is not None:
            known.append((found, model))
    if not known:
        return "No run has a best epoch."
    low, high = (pick(known, key=lambda each: each[0].median) for pick in (min, max))
    if _rounded(low[0]) == _rounded(high[0]):
        return f"{opening} {_spread(high[0])} nats per frame at the best epoch{_whose(known)}."
    first = f"{opening} {_spread(high[0])} nats per frame at the best epoch for {high[1]}"
    return f"{first}, the most, and {_spread(low[0])} for {low[1]}, the least."


def _rounded(found: Range) -> str:
    return typeset(found.median, ".2f")


def _spread(found: Range) -> str:
    spread = (
        f" ({typeset(found.low, '.2f')} to {typeset(found.high, '.2f')} over {found.count} seeds)"
        if found.count > 1
        else ""
    )
    return f"{_rounded(found)}{spread}"


def say_speeds(speeds: Sequence[Speed]) -> str:
    """Who was fastest, and what training took in all."""
    seconds = [s.seconds for s in speeds if s.seconds is not None]
    parts = [_say_fastest([(s.frames_per_second, s.model) for s in speeds if s.frames_per_second is not None])]
    if seconds:
        parts.append(f"Training steps took {_duration(sum(seconds))} in all.")
    return " ".join(filter(None, parts)) or "Speeds were not recorded."


def _say_fastest(known: Sequence[tuple[Range, str]]) -> str:
    if not known:
        return ""
    low, high = (pick(known, key=lambda each: each[0].median) for pick in (min, max))
    most, least = (f"{each[0].median:,.0f}" for each in (high, low))
    if most == least:
        return f"The median was {most} frames per second{_whose(known)}."
    return f"{high[1]} was the fastest with a median of {most} frames per second, {low[1]} the slowest with {least}."


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
