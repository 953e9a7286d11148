"""Tables about a study: its comparison, its plan, its changes, its reproduction."""

from rich.table import Table

from benchmarks.export.table_cells import interval, p_value
from benchmarks.schema.comparison import Comparison
from benchmarks.schema.estimators import signed_estimator
from benchmarks.study.changes import Changes
from benchmarks.study.estimate import Forecast, TrialForecast
from benchmarks.study.reproduce import Check, Reproduction

__all__ = [
    "changes_table",
    "checks_table",
    "comparison_table",
    "differences_table",
    "forecast_table",
    "published_table",
    "reproduction_line",
]


def comparison_table(comparison: Comparison) -> Table:
    """The values of a study, one row per model and estimator."""
    table = Table(
        title=f"{comparison.study}: log-likelihood, higher is better",
        caption="\n".join(comparison.notes),
        caption_justify="left",
    )
    for name in ("corpus", "protocol", "model", "estimator"):
        table.add_column(name, no_wrap=True)
    numbers = ("nats/sequence", "95 % interval", "MC error", "std over seeds", "nats/frame", "bits/sample", "sequences")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    previous = None
    for row in comparison.rows:
        if previous not in (None, (row.corpus, row.protocol)):
            table.add_section()
        previous = (row.corpus, row.protocol)
        table.add_row(
            row.corpus,
            row.protocol,
            row.model,
            signed_estimator(row.estimator, row.num_samples) + (", mass" if row.measure == "mass" else ""),
            f"{row.nats_per_sequence:.1f}",
            interval(row.interval, 1),
            "unknown" if row.monte_carlo_error is None else f"{row.monte_carlo_error:.2f}",
            "one seed" if row.seed_std is None else f"{row.seed_std:.1f} of {row.seeds}",
            f"{row.nats_per_frame:.3f}",
            "" if row.bits_per_sample is None else f"{row.bits_per_sample:.3f}",
            str(row.sequences),
        )
    return table


def differences_table(comparison: Comparison) -> Table:
    """The differences between models, with intervals, p-values and verdicts; one row per pair."""
    found = comparison.differences
    table = Table(title=f"{comparison.study}: differences, positive where the first model is better")
    for name in ("corpus", "protocol", "first", "second"):
        table.add_column(name, no_wrap=True)
    for name in ("nats/sequence", "over sequences", "over both", "bits/sample", "seeds", "p sequences", "p both"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in found:
        nats = row.nats_per_sequence
        table.add_row(
            row.corpus,
            row.protocol,
            row.first.model,
            row.second.model,
            f"{nats.difference:+.1f}",
            interval(nats.interval, 1, "+"),
            interval(nats.joint_interval, 1, "+"),
            f"{row.bits_per_sample.difference:+.3f}" if row.bits_per_sample else "",
            f"{row.first.seeds}, {row.second.seeds}",
            p_value(row.p_sequences_corrected),
            p_value(row.p_joint_corrected),
            row.verdict,
        )
    table.caption = (
        '95 % intervals over sequences, and over sequences and seeds ("both"); p-values are Holm-corrected for '
        f"{found[0].comparisons} comparisons. See docs/statistics.md."
    )
    return table


def published_table(comparison: Comparison) -> Table:
    """Our values next to published ones, and whether they are comparable."""
    table = Table(title=f"{comparison.study} and published results", caption="docs/published.md explains each reason.")
    for name in ("corpus", "model", "estimator", "source"):
        table.add_column(name, no_wrap=True)
    for name in ("ours", "published"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("comparable")
    for row in comparison.published:
        blockers = ", ".join(reason.code for reason in row.blockers)
        table.add_row(
            row.corpus,
            row.model,
            signed_estimator(row.estimator, row.num_samples),
            row.source + (" (recalled)" if row.provenance == "recalled" else ""),
            "" if row.ours is None else f"{row.ours:.1f}",
            f"{row.published_value:g}" if row.theirs is None else f"{row.theirs:.1f}",
            (row.unit or row.published_unit).replace("_", " "),
            "yes" if row.comparable else f"no: {blockers}",
        )
    return table


def forecast_table(plan: Forecast) -> Table:
    """The plan of a study, one row per corpus and model; times are per seed."""
    done = sum(trial.done for trial in plan.trials)
    table = Table(
        title=f"{plan.study}: {len(plan.trials)} trials, {done} of them done; {plan.references} untrained baselines",
        caption="Times are per trial, for one process on this machine and all epochs; reading data and validation are "
        "not included. Memory does not include Python (about 1 GiB) and the decoded data.\n"
        f"Remaining work: {_duration(plan.seconds_left)} if trials run one after another; "
        f"{plan.concurrent} run in parallel.",
        caption_justify="left",
    )
    for name in ("corpus", "protocol", "model"):
        table.add_column(name, no_wrap=True)
    numbers = ("seeds", "parameters", "sequences", "frames/epoch", "steps", "memory", "training", "scoring", "done")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    groups: dict[tuple[str, str, str], list[TrialForecast]] = {}
    for trial in plan.trials:
        groups.setdefault((trial.corpus, trial.protocol, trial.model), []).append(trial)
    for names, trials in groups.items():
        first = trials[0]
        table.add_row(
            *names,
            str(len(trials)),
            f"{first.parameters:,}",
            f"{first.sequences:,}",
            f"{first.frames:,}",
            f"{first.steps:,}",
            f"{first.memory_gib:.2f} GiB",
            _duration(first.training_seconds),
            _duration(first.scoring_seconds),
            str(sum(trial.done for trial in trials)),
        )
    return table


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def changes_table(changes: Changes) -> Table:
    """What changed between two studies or commits, one row per model."""
    missing = [f"only in {changes.before}: {name}" for name in changes.only_before]
    missing += [f"only in {changes.after}: {name}" for name in changes.only_after]
    table = Table(
        title=f"from {changes.before} to {changes.after}: positive is better",
        caption="\n".join(missing) or None,
        caption_justify="left",
    )
    for name in ("corpus", "protocol", "model"):
        table.add_column(name, no_wrap=True)
    for name in ("nats/sequence", "over sequences", "over both", "nats/frame", "seeds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for change in changes.changes:
        row, nats = change.difference, change.difference.nats_per_sequence
        table.add_row(
            change.corpus,
            change.protocol,
            change.model,
            f"{nats.difference:+.2f}",
            interval(nats.interval, 1, "+"),
            interval(nats.joint_interval, 1, "+"),
            f"{row.nats_per_frame.difference:+.4f}",
            f"{row.second.seeds}, {row.first.seeds}",
            "identical" if change.identical else row.verdict,
        )
    return table


def checks_table(name: str, checks: tuple[Check, ...]) -> Table:
    """Whether code, packages and machine are the same as those of the recorded run."""
    table = Table(title=f"{name}: environment of the recorded run and of this one")
    for column in ("what", "same", "recorded", "here"):
        table.add_column(column, overflow="fold")
    for check in checks:
        table.add_row(check.what, "yes" if check.same else "no", check.recorded, check.here)
    return table


def reproduction_line(found: Reproduction) -> str:
    """The verdict in one line."""
    if found.first_difference is None:
        return f"{found.name}: identical: all metrics of all epochs, and the scores of {found.sequences} sequences"
    largest = "" if found.largest_difference is None else f"; largest {found.largest_difference:.2g} nats per frame"
    return f"{found.name}: {found.verdict}; first difference at {found.first_difference}{largest}"
