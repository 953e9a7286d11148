"""Which model leads a group of comparable rows, in one sentence with its cautions.

A score that is a lower bound supports a claim in one direction only. If the leader's score is a bound, its true lead
is at least what the table shows. If the follower's score is a bound, its true log-likelihood may be higher, so the
order is open. Each model is represented by its tightest score: exact, else IWAE or FIVO with the most samples (the
higher of the two), else the ELBO. Densities and masses are different measures and are never ranked together.

Where the study recorded paired tests, "is ahead" is their verdict alone: a paired test detects differences that
overlapping intervals of single models hide, and it corrects for seeds and for the number of comparisons. Without
paired tests, "is ahead" needs an exact score of the follower and intervals that do not overlap.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.schema.comparison import ComparisonRow, Divergence, PairedDifference
from benchmarks.schema.estimators import is_exact
from dashboards.report.study_data import grouped
from dashboards.text import counted, joined, typeset

__all__ = ["Conclusion", "Group", "conclude", "group_rows"]


@dataclass(frozen=True)
class Group:
    """Comparable rows: one corpus, protocol, split and measure. The best model comes first.

    Within a model the tightest score comes first.
    """

    corpus: str
    protocol: str
    split: str
    kind: str
    measure: str
    rows: tuple[ComparisonRow, ...]

    @property
    def best(self) -> tuple[ComparisonRow, ...]:
        """The tightest score of each model, highest first."""
        # Reversed, so that the first row of a model is the one that stays in the dictionary.
        return tuple({row.model: row for row in reversed(self.rows)}.values())[::-1]

    @property
    def is_single(self) -> bool:
        """Whether there is only one model."""
        return len(self.best) == 1

    @property
    def is_codec(self) -> bool:
        """Whether all rows are codec baselines, which compare with models only in bits per sample."""
        return all(row.estimator == "code" for row in self.rows)

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Corpus, protocol, split and measure; the key of a paired difference."""
        return self.corpus, self.protocol, self.split, self.measure


@dataclass(frozen=True)
class Conclusion:
    """One sentence, and the cautions without which it would mislead."""

    sentence: str
    cautions: tuple[str, ...]


def group_rows(rows: Sequence[ComparisonRow]) -> tuple[Group, ...]:
    """Group rows by (corpus, protocol, split, measure), in order of first appearance, and rank each group."""
    groups: list[Group] = []
    by_place = grouped(rows, lambda row: (row.corpus, row.protocol, row.split, row.kind, row.measure))
    for place, members in by_place.items():
        by_tightness = sorted(members, key=lambda row: row.tightness, reverse=True)
        models = grouped(by_tightness, lambda row: row.model).values()
        # A model's first row is its tightest score, which decides its rank.
        ranked = sorted(models, key=lambda scores: scores[0].nats_per_sequence, reverse=True)
        groups.append(Group(*place, rows=tuple(row for scores in ranked for row in scores)))
    return tuple(groups)


def conclude(
    group: Group, diverged: Sequence[Divergence] = (), differences: Sequence[PairedDifference] = ()
) -> Conclusion:
    """State which model leads a group.

    Args:
        group: comparable rows.
        diverged: the study's diverged runs; those of this corpus become a caution.
        differences: the study's paired differences; without any, the intervals are compared.
    """
    leader, *others = group.best
    # A pair may be recorded in either order.
    tested = {frozenset((d.first.model, d.second.model)): d for d in differences if d.key == group.place}

    def compared(follower: ComparisonRow) -> str:
        if not differences:
            return _by_intervals(leader, follower)
        return _by_paired_test(leader, follower, tested.get(frozenset((leader.model, follower.model))))

    if not others:
        advice = "compare it with models in bits per sample" if group.is_codec else "there is nothing to compare with"
        return Conclusion(f"Only {leader.model} was scored: {advice}.", tuple(_diverged_cautions(group, diverged)))
    follower = others[0]
    # A bound and an exact score differ in kind, so the first model of the other kind is compared too.
    other_kind = next((row for row in others if is_exact(row.estimator) != is_exact(leader.estimator)), follower)
    cautions = [
        *_bound_cautions(leader, follower),
        *_seed_cautions(leader, follower),
        *([compared(other_kind)] if other_kind is not follower else []),
    ]
    if len({(row.fingerprint, row.sequences, row.frames) for row in group.rows}) > 1:
        cautions.append("Not all rows were scored on the same data, so differences may come from the data.")
    return Conclusion(compared(follower), (*cautions, *_diverged_cautions(group, diverged)))


def _by_paired_test(leader: ComparisonRow, follower: ComparisonRow, difference: PairedDifference | None) -> str:
    higher = _gap(leader, "scores higher than", follower)
    if difference is None:
        return f"{higher}; the study did not test this pair."
    if difference.verdict == "not enough seeds":
        return f"{higher}; there are not enough seeds for a verdict."
    if not difference.is_settled:
        return f"{higher}; the order is not settled: {difference.open_to} could reverse it."
    # The table ranks by mean score, the test by paired differences; they can disagree.
    winner = difference.order[0].model
    if winner != leader.model:
        return f"{higher}, but the paired tests put {winner} ahead."
    tests = f"the paired tests over sequences and seeds confirm it, corrected for {difference.comparisons} comparisons"
    return f"{_gap(leader, 'is ahead of', follower)}; {tests}."


def _by_intervals(leader: ComparisonRow, follower: ComparisonRow) -> str:
    if not (leader.has_interval and follower.has_interval):
        return f"{_gap(leader, 'scores higher than', follower)}; their 95 % intervals are unknown."
    overlap = leader.interval[0] <= follower.interval[1] and follower.interval[0] <= leader.interval[1]
    verb = "scores higher than" if overlap or not is_exact(follower.estimator) else "is ahead of"
    ending = "overlap, so the order is not settled" if overlap else "do not overlap"
    return f"{_gap(leader, verb, follower)}; their 95 % intervals {ending}."


def _gap(leader: ComparisonRow, verb: str, follower: ComparisonRow) -> str:
    first, second = (
        f"{r.model} ({r.label} {r.sign} {typeset(r.nats_per_sequence, '.2f')})" for r in (leader, follower)
    )
    per_sequence = typeset(leader.nats_per_sequence - follower.nats_per_sequence, ".2f")
    per_frame = typeset(leader.nats_per_frame - follower.nats_per_frame, ".3f")
    return f"{first} {verb} {second} by {per_sequence} nats per sequence ({per_frame} nats per frame)"


def _bound_cautions(leader: ComparisonRow, follower: ComparisonRow) -> list[str]:
    if is_exact(leader.estimator) and is_exact(follower.estimator):
        return []
    if is_exact(follower.estimator):
        return [f"{leader.model}'s score is a lower bound in expectation, so its true lead is at least as large."]
    if is_exact(leader.estimator):
        return [f"{follower.model}'s score is a lower bound, so its true log-likelihood may be the higher one."]
    return ["Both scores are lower bounds, so the true log-likelihoods may differ by another amount."]


def _seed_cautions(leader: ComparisonRow, follower: ComparisonRow) -> list[str]:
    single = [row.model for row in (leader, follower) if row.seed_std is None and row.estimator != "code"]
    if single:
        verb = "has" if len(single) == 1 else "have"
        return [f"{joined(single)} {verb} one training seed, so the spread between training runs is unknown."]
    spread = max(row.seed_std or 0.0 for row in (leader, follower))
    if leader.nats_per_sequence - follower.nats_per_sequence > spread:
        return []
    return [f"The difference is within the spread between training seeds (std {spread:.2f} nats per sequence)."]


def _diverged_cautions(group: Group, diverged: Sequence[Divergence]) -> list[str]:
    lost = Counter(run.model for run in diverged if run.corpus == group.corpus)
    return [
        f"{counted(count, 'run')} of {model} diverged and {'is' if count == 1 else 'are'} not in these scores."
        for model, count in sorted(lost.items())
    ]
