"""The section "Reproduce": code, packages and configuration of a study, and the commands that repeat it.

Every sentence is computed from the records of the trials. If trials ran at several commits, with uncommitted changes or
with unknown code, the page warns: such results cannot be reproduced with certainty.
"""

import json
import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.errors import ReportError
from dashboards.report.study_data import StudyData, Trial

__all__ = ["Command", "Reproduction", "TrialRow", "reproduce_section", "suite_toml"]

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Command:
    """What to type, and for what purpose."""

    purpose: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class TrialRow:
    """One trial in the table of trials.

    Attributes:
        epochs: None for a codec baseline.
        seconds: duration of training; None for a codec baseline.
        run_id: id of the MLflow run; None if the study was read from disk.
    """

    corpus: str
    protocol: str
    model: str
    seed: int
    outcome: str
    epochs: int | None
    seconds: float | None
    key: str
    run_id: str | None


@dataclass(frozen=True)
class Reproduction:
    """The section's content.

    Attributes:
        sentences: facts about code, packages and trials.
        warnings: what makes it uncertain that the results can be reproduced.
        suite: the configuration as TOML.
        file: name of the suite's file in the commands.
    """

    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    suite: str
    file: str
    commands: tuple[Command, ...]
    trials: tuple[TrialRow, ...]


def reproduce_section(study: StudyData) -> Reproduction:
    """Build the section."""
    trials = study.trials
    facts = [*_commits(trials), *_changes(trials), *_locks(trials)]
    keys = study.description.keys
    if missing := len(set(keys) - {trial.record.key for trial in trials}):
        facts.append((f"{missing} of the suite's {len(keys)} trials and codec baselines have no result.", True))
    else:
        facts.append((f"Each of the suite's {len(keys)} trials and codec baselines has a result.", False))
    return Reproduction(
        sentences=tuple(text for text, is_warning in facts if not is_warning),
        warnings=tuple(text for text, is_warning in facts if is_warning),
        suite=suite_toml(study.description.suite.model_dump(mode="json")),
        file=f"{study.name}.toml",
        commands=tuple(_commands(study)),
        trials=tuple(map(_row, trials)),
    )


Facts = Iterable[tuple[str, bool]]
"""Sentences, each with whether it is a warning."""


def _shares(counts: Counter[str]) -> str:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} ({count})" for name, count in ordered)


def _trials(count: int, total: int) -> str:
    if count == total:
        return "The one trial" if total == 1 else f"All {total} trials"
    return f"{count} of {total} trials"


def _commits(trials: Sequence[Trial]) -> Facts:
    counts, total = Counter(trial.record.code.commit for trial in trials), len(trials)
    unknown = counts.pop(UNKNOWN, 0)
    if len(counts) > 1:
        yield f"The trials ran at {len(counts)} different git commits: {_shares(counts)}.", True
    for commit, count in counts.items() if len(counts) == 1 else ():
        yield f"{_trials(count, total)} ran at git commit {commit}.", False
    if unknown:
        yield f"{_trials(unknown, total)} ran at an unknown git commit.", True
    if moved := [trial for trial in trials if trial.record.earlier_commits]:
        earlier = sorted({commit for trial in moved for commit in trial.record.earlier_commits})
        yield f"{_trials(len(moved), total)} started at another git commit: {', '.join(earlier)}.", True


def _changes(trials: Sequence[Trial]) -> Facts:
    states, total = Counter(trial.record.code.clean for trial in trials), len(trials)
    if total and states["yes"] == total:
        yield "There were no uncommitted changes.", False
    if states["no"]:
        yield f"{_trials(states['no'], total)} ran with uncommitted changes.", True
    if unknown := total - states["yes"] - states["no"]:
        yield f"{_trials(unknown, total)} did not record whether there were uncommitted changes.", True


def _locks(trials: Sequence[Trial]) -> Facts:
    locks, total = Counter(trial.record.code.lock_sha256 for trial in trials), len(trials)
    unknown = locks.pop(UNKNOWN, 0)
    if len(locks) > 1:
        yield f"requirements.lock differs between trials: SHA-256 {_shares(locks)}.", True
    for lock, count in locks.items() if len(locks) == 1 else ():
        yield f"{_trials(count, total)} ran with the requirements.lock that has the SHA-256 {lock}.", False
    if unknown:
        yield f"{_trials(unknown, total)} did not record requirements.lock.", True


def _row(trial: Trial) -> TrialRow:
    curves, seconds = trial.curves, trial.outcome.metrics.get("train/seconds")
    if seconds is None and curves is not None and "seconds" in curves:
        seconds = float(curves["seconds"].sum())
    step = trial.outcome.diverged_at_step
    return TrialRow(
        corpus=trial.corpus,
        protocol=trial.protocol,
        model=trial.model,
        seed=trial.seed,
        outcome="finished" if step is None else f"diverged at step {step}",
        epochs=None if curves is None else len(curves),
        seconds=None if curves is None else seconds,
        key=trial.record.key,
        run_id=trial.run_id,
    )


def _commands(study: StudyData) -> Iterable[Command]:
    name, file = shlex.quote(study.name), shlex.quote(f"{study.name}.toml")
    commits = sorted({trial.record.code.commit for trial in study.trials} - {UNKNOWN})
    # With several commits no single checkout repeats the study.
    if len(commits) == 1:
        install = ("make .venv/.installed", ". .venv/bin/activate")
        yield Command("Install the code and its packages", (f"git checkout {shlex.quote(commits[0])}", *install))
    if prepare := tuple(_prepare_commands(study)):
        yield Command("Prepare the data; RAW is the directory of the raw corpus", prepare)
    yield Command(
        "Run the study, and write its table and its report",
        (
            f"vrnn-bench run {file}",
            f"vrnn-bench compare {name} --out comparison",
            f"vrnn-bench report {name} --out report.html",
        ),
    )
    if trial := next((t for t in study.trials if not t.diverged and t.curves is not None), None):
        again = shlex.quote(f"{study.name}/{trial.record.name}")
        yield Command("Repeat one trial and compare its scores", (f"vrnn-bench reproduce {again}",))


def _prepare_commands(study: StudyData) -> Iterable[str]:
    datasets = {trial.corpus: trial.record.dataset for trial in study.trials}
    prepared: set[str] = set()
    for entry in study.description.suite.corpora:
        corpus = study.corpora.get(entry.name)
        dataset = corpus.corpus if corpus else datasets.get(entry.name)
        # Several corpora of a suite may use the same shards, with other protocols.
        if dataset is None or entry.shards in prepared:
            continue
        prepared.add(entry.shards)
        options = "".join(
            f" --option {shlex.quote(f'{key}={str(value).lower() if isinstance(value, bool) else value}')}"
            for key, value in (corpus.options if corpus else {}).items()
        )
        yield f"vrnn-bench prepare {shlex.quote(dataset)} --raw RAW --out {shlex.quote(entry.shards)}{options}"


def suite_toml(suite: Mapping[str, Any]) -> str:
    """A suite, given as JSON values, as TOML, so that it can be run again. A null is left out: TOML has none.

    Raises:
        ReportError: a value cannot be written as TOML.
    """
    plain = {key: value for key, value in suite.items() if value is not None}
    tables = {key: value for key, value in plain.items() if isinstance(value, Mapping)}
    # TOML needs plain values first: after a table header they would belong to that table.
    arrays = {
        key: value
        for key, value in plain.items()
        if isinstance(value, list) and value and all(isinstance(member, Mapping) for member in value)
    }
    lines = _pairs({key: value for key, value in plain.items() if key not in tables and key not in arrays})
    for key, value in tables.items():
        lines += ["", f"[{_key(key)}]", *_pairs(value)]
    for key, members in arrays.items():
        for member in members:
            lines += ["", f"[[{_key(key)}]]", *_pairs(member)]
    return "\n".join(lines) + "\n"


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _string(key)


def _string(text: str) -> str:
    """TOML has the escapes of JSON, and must also escape DEL, which JSON does not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case str():
            return _string(value)
        case list():
            return f"[{', '.join(_value(member) for member in value if member is not None)}]"
        case Mapping():
            return f"{{ {', '.join(_pairs(value))} }}" if _pairs(value) else "{}"
    raise ReportError(f"study.json: suite: {value!r} is not a valid value; run the study again")
