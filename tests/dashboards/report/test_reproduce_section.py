import tomllib
from pathlib import Path

import pytest

from benchmarks.suites.suite import load_suite
from dashboards.errors import ReportError
from dashboards.page import render
from dashboards.report.reproduce_section import reproduction
from dashboards.report.suite_toml import suite_toml
from tests.dashboards.corpora import LOCK, document, study, trial
from tests.dashboards.studies import COMMIT, HOSTILE_TEXT

SUITES = sorted((Path(__file__).parents[3] / "benchmarks" / "suites").glob("*.toml"))
OTHER = "0" * 40


def test_a_clean_study_at_one_commit_gives_no_warning():
    found = reproduction(study(about={"keys": ["k0"]}))
    assert found.warnings == ()
    assert found.sentences == (
        f"The one trial ran at git commit {COMMIT}.",
        "Nothing was changed since that commit: the working tree was clean.",
        f"The one trial ran from code whose requirements.lock has the SHA-256 {LOCK}.",
        "Each of the suite's 1 trials and references has a run.",
    )


@pytest.mark.parametrize(
    ("second", "warning"),
    [
        ({"git_commit": OTHER}, f"The trials ran at 2 different git commits: {OTHER} (1), {COMMIT} (1)."),
        ({"git_commit": "unknown"}, "1 of 2 trials ran by code whose commit is not known."),
        ({"tags": {"git_clean": "no"}}, "1 of 2 trials ran from a changed working tree, which no commit holds."),
        (
            {"tags": {"git_clean": "unknown"}},
            "1 of 2 trials ran from a working tree of which it was not recorded whether it was clean.",
        ),
        ({"tags": {"lock_sha256": "unknown"}}, "Of 1 of 2 trials the lock of the packages was not recorded."),
        ({"tags": {"lock_sha256": "c"}}, f"requirements.lock differs between trials: SHA-256 {LOCK} (1), c (1)."),
        ({"tags": {"earlier_commits": f'["{OTHER}"]'}}, f"1 of 2 trials was begun at another commit: {OTHER}."),
    ],
)
def test_what_stands_in_the_way_is_a_warning(second: dict, warning: str):
    found = reproduction(study(trials=(trial(), trial(seed=1, trial_key="k1", **second))))
    assert found.warnings == (warning,)


def test_older_runs_without_tags_warn_of_all_that_is_not_known():
    bare = trial(tags={"git_clean": "unknown", "lock_sha256": "unknown"}, git_commit="unknown")
    assert len(reproduction(study(trials=(bare,))).warnings) == 3


def test_missing_and_surplus_trials_are_counted():
    found = reproduction(study(about={"keys": ["k1", "k2"]}))
    assert found.warnings == ("2 of the suite's 2 trials and references have no run.",)
    assert found.sentences[-1] == "1 of the runs below is of nothing that the suite asks for."
    assert reproduction(study(trials=())).warnings == ("No trial is recorded.",)


def test_commands_name_the_data_the_study_and_a_trial():
    suite = {"study": "demo", "corpora": [{"name": "speech", "shards": "data/my speech"}]}
    found = reproduction(study(about={"suite": suite}, corpora={"speech": document()}))
    assert [line for command in found.commands for line in command.lines] == [
        f"git checkout {COMMIT}",
        "make .venv/.installed",
        ". .venv/bin/activate",
        "vrnn-bench prepare timit --raw RAW --out 'data/my speech' --option include_sa=false --option form=whole",
        "vrnn-bench run demo.toml",
        "vrnn-bench compare demo --out comparison",
        "vrnn-bench report demo --out report.html",
        "vrnn-bench reproduce demo/speech/paper/RNN-GMM/seed0",
    ]


def test_nothing_that_data_are_called_is_a_command():
    name = "x; rm -rf ~ $(id) `id`"
    suite = {"corpora": [{"name": "speech", "shards": name}]}
    found = reproduction(study(name=name, about={"suite": suite}, trials=(trial(tags={"dataset": name}),)))
    lines = [line for command in found.commands for line in command.lines]
    assert sum(name in line for line in lines) == 5
    assert all(f"'{name}" in line for line in lines if name in line)


def test_rows_tell_outcomes_and_leave_out_what_is_not_known():
    trials = (
        trial(),
        trial(status="FAILED", diverged_at_step=12),
        trial(status="FAILED", tags={"failed": "out of memory"}, metrics={}),
        trial(status="KILLED"),
        trial(model="flac", curves=None, metrics={}),
    )
    rows = reproduction(study(trials=trials)).trials
    assert [(row.outcome, row.epochs, row.seconds) for row in rows] == [
        ("finished", 3, 12.25),
        ("diverged at step 12", 3, 12.25),
        ("failed: out of memory", 3, 37.5),
        ("stopped", 3, 12.25),
        ("finished", None, None),
    ]


@pytest.mark.parametrize("place", SUITES, ids=lambda place: place.stem)
def test_the_configuration_is_a_suite_that_loads_as_the_same(place: Path, tmp_path: Path):
    suite = load_suite(place)
    again = tmp_path / "again.toml"
    again.write_text(suite_toml(suite.model_dump(mode="json")), encoding="utf-8")
    assert load_suite(again) == suite


def test_hostile_text_stays_text_in_toml():
    hostile = "\"]\n[evil]\nx = 1 \\ \x7f \x00 é 🎤 '''"
    suite = {"study": hostile, hostile: [1, 2.5, True], "none": None, "table": {"a b": {"c": hostile}, "none": None}}
    read = tomllib.loads(suite_toml(suite))
    assert read == {"study": hostile, hostile: [1, 2.5, True], "table": {"a b": {"c": hostile}}}


def test_the_section_escapes_and_stays_light_with_many_trials():
    hostile = [
        trial(corpus=HOSTILE_TEXT, model=HOSTILE_TEXT, seed=seed, git_commit=HOSTILE_TEXT) for seed in range(500)
    ]
    found = reproduction(study(name=HOSTILE_TEXT, trials=tuple(hostile), about={"suite": {"study": HOSTILE_TEXT}}))
    page = render("sections/reproduce.html.j2", {"reproduction": found}, styles=(), scripts=())
    assert "<img" not in page
    assert page.count("<tr><td") == 500
    assert len(page.encode()) < 750_000


def test_malformed_study_files_are_refused():
    for about in ({"suite": [1]}, {"suite": {"x": float("nan")}}):
        with pytest.raises(ReportError, match=r"study.json: suite"):
            reproduction(study(about=about))
    with pytest.raises(ReportError, match="tag earlier_commits is not JSON"):
        reproduction(study(trials=(trial(tags={"earlier_commits": "["}),)))
