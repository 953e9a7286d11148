"""Exactly how: the code, the packages and the configuration of a study, and what to type to make its figures again.

Every sentence is computed from what the trials' runs and `study.json` say. Where trials were run by more than one
commit, from a tree that was not clean, or by code that nobody recorded, the page warns of it: such figures cannot be
made again with certainty.
"""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.corpus.summary_file import Corpus, parse_corpora
from dashboards.errors import ReportError
from dashboards.report.study_record import Study, Trial
from dashboards.report.suite_toml import suite_toml

__all__ = ["Command", "Reproduction", "TrialRow", "reproduction"]

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Command:
    """What to type, and what for."""

    purpose: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class TrialRow:
    """One trial of the table.

    Attributes:
        epochs: None where it is not trained.
        seconds: that training took; None where that is not known.
    """

    corpus: str
    protocol: str
    model: str
    seed: int
    outcome: str
    epochs: int | None
    seconds: float | None
    key: str
    run_id: str


@dataclass(frozen=True)
class Reproduction:
    """The section.

    Attributes:
        sentences: on code, packages and trials, one fact each.
        warnings: what stands in the way of making the figures again.
        suite: the configuration as TOML; None where it was not recorded.
        file: what the commands call the suite's file.
    """

    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    suite: str | None
    file: str
    commands: tuple[Command, ...]
    trials: tuple[TrialRow, ...]


def reproduction(study: Study) -> Reproduction:
    """What a study's record says of how it was made.

    Raises:
        ReportError: `study.json` or `corpora.json` is malformed.
    """
    suite = study.about.get("suite")
    if suite is not None and not isinstance(suite, Mapping):
        raise ReportError("study.json: suite is not an object; run the study again")
    trials = study.trials
    said = [*_commits(trials), *_trees(trials), *_locks(trials), *_completeness(study)]
    return Reproduction(
        sentences=tuple(text for text, grave in said if not grave),
        warnings=tuple(text for text, grave in said if grave),
        suite=suite_toml(suite) if suite else None,
        file=f"{study.name}.toml",
        commands=tuple(_commands(study, suite or {})),
        trials=tuple(map(_row, trials)),
    )


Said = Iterable[tuple[str, bool]]
"""Sentences, each with whether it is a warning."""


def _shares(counts: Counter[str]) -> str:
    return ", ".join(
        f"{name} ({count})" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )


def _trials(count: int, of: int) -> str:
    if count == of:
        return "The one trial" if of == 1 else f"All {of} trials"
    return f"{count} of {of} trials"


def _commits(trials: Sequence[Trial]) -> Said:
    counts = Counter(trial.git_commit for trial in trials)
    unknown = counts.pop(UNKNOWN, 0)
    if len(counts) == 1 and not unknown:
        yield f"{_trials(len(trials), len(trials))} ran at git commit {next(iter(counts))}.", False
    elif len(counts) > 1:
        yield f"The trials ran at {len(counts)} different git commits: {_shares(counts)}.", True
    elif counts:
        commit, count = next(iter(counts.items()))
        yield f"{_trials(count, len(trials))} ran at git commit {commit}.", False
    if unknown:
        yield f"{_trials(unknown, len(trials))} ran by code whose commit is not known.", True
    if moved := [trial for trial in trials if _earlier(trial)]:
        older = sorted({commit for trial in moved for commit in _earlier(trial)})
        verb = "was" if len(moved) == 1 else "were"
        yield f"{_trials(len(moved), len(trials))} {verb} begun at another commit: {', '.join(older)}.", True


def _earlier(trial: Trial) -> list[str]:
    try:
        commits = json.loads(trial.tags.get("earlier_commits", "[]"))
    except json.JSONDecodeError as error:
        raise ReportError(f"MLflow run {trial.run_id}: tag earlier_commits is not JSON: delete the tag") from error
    return [str(commit) for commit in commits] if isinstance(commits, list) else []


def _trees(trials: Sequence[Trial]) -> Said:
    states = Counter(trial.tags.get("git_clean", UNKNOWN) for trial in trials)
    total = len(trials)
    if total and states["yes"] == total:
        yield (
            "Nothing was changed since that commit: the working tree was clean."
            if _one_commit(trials)
            else ("The working tree was clean for every trial."),
            False,
        )
        return
    if states["no"]:
        yield f"{_trials(states['no'], total)} ran from a changed working tree, which no commit holds.", True
    if unknown := total - states["yes"] - states["no"]:
        yield (
            f"{_trials(unknown, total)} ran from a working tree of which it was not recorded whether it was clean.",
            True,
        )


def _one_commit(trials: Sequence[Trial]) -> bool:
    return len({trial.git_commit for trial in trials}) == 1


def _locks(trials: Sequence[Trial]) -> Said:
    locks = Counter(trial.tags.get("lock_sha256", UNKNOWN) for trial in trials)
    unknown = locks.pop(UNKNOWN, 0)
    if len(locks) == 1:
        lock, count = next(iter(locks.items()))
        yield f"{_trials(count, len(trials))} ran from code whose requirements.lock has the SHA-256 {lock}.", False
    elif locks:
        yield f"requirements.lock differs between trials: SHA-256 {_shares(locks)}.", True
    if unknown:
        yield f"Of {unknown} of {len(trials)} trials the lock of the packages was not recorded.", True


def _completeness(study: Study) -> Said:
    if not study.trials:
        yield "No trial is recorded.", True
    keys = study.about.get("keys")
    if not isinstance(keys, list):
        return
    wanted, present = set(keys), {trial.trial_key for trial in study.trials}
    if missing := len(wanted - present):
        yield f"{missing} of the suite's {len(wanted)} trials and references have no run.", True
    else:
        yield f"Each of the suite's {len(wanted)} trials and references has a run.", False
    if strangers := sum(trial.trial_key not in wanted for trial in study.trials):
        yield (
            f"{strangers} of the runs below {'is' if strangers == 1 else 'are'} of nothing that the suite asks for.",
            False,
        )


def _row(trial: Trial) -> TrialRow:
    trained = trial.curves is not None
    seconds = trial.metrics.get("train/seconds")
    if seconds is None and trial.curves is not None and "seconds" in trial.curves:
        seconds = float(trial.curves["seconds"].sum())
    return TrialRow(
        corpus=trial.corpus,
        protocol=trial.protocol,
        model=trial.model,
        seed=trial.seed,
        outcome=_outcome(trial),
        epochs=len(trial.curves) if trial.curves is not None else None,
        seconds=seconds if trained else None,
        key=trial.trial_key,
        run_id=trial.run_id,
    )


def _outcome(trial: Trial) -> str:
    if trial.diverged_at_step is not None:
        return f"diverged at step {trial.diverged_at_step}"
    if "failed" in trial.tags and trial.status != "FINISHED":
        return f"failed: {trial.tags['failed'][:80]}"
    return {"KILLED": "stopped"}.get(trial.status, trial.status.lower())


def _commands(study: Study, suite: Mapping[str, Any]) -> Iterable[Command]:
    name, file = shlex.quote(study.name), shlex.quote(f"{study.name}.toml")
    commits = sorted({trial.git_commit for trial in study.trials} - {UNKNOWN})
    if len(commits) == 1:
        install = ("make .venv/.installed", ". .venv/bin/activate")
        yield Command("The code and its packages", (f"git checkout {shlex.quote(commits[0])}", *install))
    prepare = tuple(_prepare(study, suite))
    if prepare:
        yield Command("The data; RAW is where the raw corpus lies", prepare)
    yield Command(
        "The study, its table and its report",
        (
            f"vrnn-bench run {file}",
            f"vrnn-bench compare {name} --out comparison",
            f"vrnn-bench report {name} --out report.html",
        ),
    )
    again = next((t for t in study.trials if t.status == "FINISHED" and t.curves is not None), None)
    if again is not None:
        trial = f"{study.name}/{again.corpus}/{again.protocol}/{again.model}/seed{again.seed}"
        yield Command(
            "One trial again, and whether its figures come out the same; any other likewise, by its name or its run",
            (f"vrnn-bench reproduce {shlex.quote(trial)}",),
        )


def _prepare(study: Study, suite: Mapping[str, Any]) -> Iterable[str]:
    corpora = parse_corpora(study.corpora)
    adapters = {trial.corpus: trial.tags.get("dataset") for trial in study.trials}
    done: set[str] = set()
    for entry in suite.get("corpora", ()):
        name, shards = (str(entry.get(key, "")) for key in ("name", "shards"))
        known = corpora.get(name)
        adapter = known.corpus if known else adapters.get(name)
        if adapter is None or shards in done:
            continue
        done.add(shards)
        options = "".join(f" --option {shlex.quote(option)}" for option in _options(known))
        yield f"vrnn-bench prepare {shlex.quote(adapter)} --raw RAW --out {shlex.quote(shards)}{options}"


def _options(corpus: Corpus | None) -> list[str]:
    if corpus is None:
        return []
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in corpus.options.items()
    ]
