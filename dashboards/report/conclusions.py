"""Who is ahead, by how much, and what that does not show: the sentences that open the report.

A figure that is a lower bound can only be trusted in one direction. If the leader's figure is a bound, the
true lead is at least what the table shows; if the follower's is, its true log-likelihood may be higher and the
order is open. So "is ahead" is written only where the follower's figure is exact and the intervals are apart,
and everything else says what was seen and no more. Each model is represented by its tightest figure: exact,
else IWAE or FIVO with the most samples (the higher of the two), else the ELBO. Densities and masses are different
measures, and are never ranked together.

Where paired differences were recorded they are the authority: a paired test sees what two intervals of single models,
which may well overlap, do not, and counts the seeds and the number of comparisons. Then "is ahead" is their verdict
alone, and a pair that was not tested has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.estimators import is_exact
from dashboards.report.comparison_file import Divergence, Row
from dashboards.report.differences_file import Difference
from dashboards.text import typeset

__all__ = ["Conclusion", "Group", "conclude", "group_rows"]


@dataclass(frozen=True)
class Group:
    """Rows that may be compared: one corpus, one protocol, one split, one measure; the best model first.

    Within a model the tightest figure comes first.
    """

    corpus: str
    protocol: str
    split: str
    kind: str
    measure: str
    rows: tuple[Row, ...]

    @property
    def best(self) -> tuple[Row, ...]:
        """The tightest figure of each model, highest first."""
        return tuple({row.model: row for row in reversed(self.rows)}.values())[::-1]

    @property
    def is_alone(self) -> bool:
        """Whether there is but one model, and so nothing to compare with in nats."""
        return len(self.best) == 1

    @property
    def is_code(self) -> bool:
        """Whether lossless coders alone were scored, which are compared with models in bits per sample."""
        return all(row.estimator == "code" for row in self.rows)

    @property
    def key(self) -> tuple[str, str]:
        """What a trial shares with the group: a trial is scored on every split."""
        return self.corpus, self.protocol

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What a difference shares with the group: corpus, protocol, split, measure."""
        return self.corpus, self.protocol, self.split, self.measure


@dataclass(frozen=True)
class Conclusion:
    """One sentence, and the cautions without which it would mislead."""

    sentence: str
    cautions: tuple[str, ...]


def group_rows(rows: Sequence[Row]) -> tuple[Group, ...]:
    """Split rows by (corpus, protocol, split, measure), in order of first appearance, and rank each group."""
    members: dict[tuple[str, str, str, str, str], list[Row]] = {}
    for row in rows:
        members.setdefault((row.corpus, row.protocol, row.split, row.kind, row.measure), []).append(row)
    return tuple(Group(*key, rows=_ranked(group)) for key, group in members.items())


def _ranked(rows: Sequence[Row]) -> tuple[Row, ...]:
    by_model: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.tightness, reverse=True):
        by_model.setdefault(row.model, []).append(row)
    models = sorted(by_model.values(), key=lambda figures: figures[0].nats_per_sequence, reverse=True)
    return tuple(row for figures in models for row in figures)


def conclude(group: Group, diverged: Sequence[Divergence] = (), differences: Sequence[Difference] = ()) -> Conclusion:
    """State who leads a group.

    Args:
        group: rows of one corpus, protocol and split.
        diverged: the study's diverged runs; those of this corpus become a caution.
        differences: the study's paired differences; empty where none were recorded, and intervals are compared.
    """
    leader, *others = group.best
    tested = {frozenset((d.first.model, d.second.model)): d for d in differences if d.key == group.place}

    def compared(follower: Row) -> str:
        if not differences:
            return _comparison(leader, follower)
        return _paired(leader, follower, tested.get(frozenset((leader.model, follower.model))))

    if not others:
        beside = "no model by the same measure; bits per sample compare" if group.is_code else "nothing to compare with"
        sentence = f"Only {leader.model} was scored: {beside}."
        return Conclusion(sentence, tuple(_lost_runs(group, diverged)))
    sentence = compared(others[0])
    rival = next((row for row in others if _is_exact(row) != _is_exact(leader)), others[0])
    cautions = _bound_cautions(leader, others[0])
    cautions += _seed_cautions(leader, others[0])
    cautions += [compared(rival)] if rival is not others[0] else []
    cautions += _data_cautions(group)
    cautions += _lost_runs(group, diverged)
    return Conclusion(sentence, tuple(cautions))


def _paired(leader: Row, follower: Row, difference: Difference | None) -> str:
    """What the paired test of two models says; without one, that there is none."""
    if difference is None:
        outcome = "this pair was not among the study's comparisons"
    elif difference.verdict == "not enough seeds":
        outcome = "there are not enough seeds for a verdict"
    elif not difference.is_settled:
        outcome = f"the order is not settled: {difference.open_to} could turn it round"
    else:
        return _settled(leader, follower, difference)
    return f"{_gap(leader, 'scores higher than', follower)}; {outcome}."


def _settled(leader: Row, follower: Row, difference: Difference) -> str:
    winner = difference.order[0].model
    tests = f"the paired tests over sequences and seeds say so, corrected for {difference.comparisons} comparisons"
    if winner == leader.model:
        return f"{_gap(leader, 'is ahead of', follower)}; {tests}."
    return f"{_gap(leader, 'scores higher than', follower)}, but the paired tests put {winner} ahead."


def _gap(leader: Row, verb: str, follower: Row) -> str:
    gap = leader.nats_per_sequence - follower.nats_per_sequence
    per_frame = leader.nats_per_frame - follower.nats_per_frame
    return (
        f"{leader.model} ({_figure(leader)}) {verb} {follower.model} ({_figure(follower)}) by "
        f"{typeset(gap, '.2f')} nats per sequence ({typeset(per_frame, '.3f')} nats per frame)"
    )


def _comparison(leader: Row, follower: Row) -> str:
    known = leader.has_interval and follower.has_interval
    apart = known and not _overlap(leader, follower)
    verb = "is ahead of" if apart and _is_exact(follower) else "scores higher than"
    overlap = "overlap, so the order is not settled by them" if known else "are not known"
    intervals = "do not overlap" if apart else overlap
    return f"{_gap(leader, verb, follower)}; their 95 % intervals {intervals}."


def _figure(row: Row) -> str:
    return f"{row.label} {row.sign} {typeset(row.nats_per_sequence, '.2f')}"


def _is_exact(row: Row) -> bool:
    return is_exact(row.estimator)


def _overlap(a: Row, b: Row) -> bool:
    return a.interval[0] <= b.interval[1] and b.interval[0] <= a.interval[1]


def _bound_cautions(leader: Row, follower: Row) -> list[str]:
    if _is_exact(leader) and _is_exact(follower):
        return []
    if _is_exact(follower):
        return [f"{leader.model}'s figure is a lower bound in expectation: its true lead is no smaller."]
    if _is_exact(leader):
        return [f"{follower.model}'s figure is a lower bound: its true log-likelihood may be the higher one."]
    return ["Both figures are lower bounds: their difference need not be that of the log-likelihoods."]


def _seed_cautions(leader: Row, follower: Row) -> list[str]:
    single = [row.model for row in (leader, follower) if row.seed_std is None and row.estimator != "code"]
    if single:
        return [f"One training seed for {' and '.join(single)}: how much a training run varies is not known."]
    spread = max(row.seed_std or 0.0 for row in (leader, follower))
    if leader.nats_per_sequence - follower.nats_per_sequence > spread:
        return []
    return [f"The difference is within the spread between training seeds (std {spread:.2f} nats per sequence)."]


def _data_cautions(group: Group) -> list[str]:
    data = {(row.fingerprint, row.sequences, row.frames) for row in group.rows}
    if len(data) == 1:
        return []
    return ["The rows were not all scored on the same data: differences between models may be the data's."]


def _lost_runs(group: Group, diverged: Sequence[Divergence]) -> list[str]:
    lost: dict[str, int] = {}
    for run in diverged:
        if run.corpus == group.corpus:
            lost[run.model] = lost.get(run.model, 0) + 1
    return [
        f"{count} run{'s' if count > 1 else ''} of {model} diverged and {'have' if count > 1 else 'has'} no part "
        "in these figures."
        for model, count in sorted(lost.items())
    ]
