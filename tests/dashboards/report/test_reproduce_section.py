"""The page says how a study was made, and warns about what makes it uncertain to reproduce."""

import tomllib
from pathlib import Path

import pytest

from benchmarks.suites.suite import load_suite
from dashboards.errors import ReportError
from dashboards.page import render
from dashboards.report.reproduce_section import reproduce_section, suite_toml
from tests.dashboards.corpora import corpus, study, trial
from tests.dashboards.studies import COMMIT, HOSTILE_TEXT, LOCK, compared, suite

SUITES = sorted((Path(__file__).parents[3] / "benchmarks" / "suites").glob("*.toml"))
OTHER = "0" * 40


def test_a_clean_study_at_one_commit_gives_no_warning():
    found = reproduce_section(study(keys=["k0"]))
    assert found.warnings == ()
    assert found.sentences == (
        f"The one trial ran at git commit {COMMIT}.",
        "There were no uncommitted changes.",
        f"The one trial ran with the requirements.lock that has the SHA-256 {LOCK}.",
        "Each of the suite's 1 trials and codec baselines has a result.",
    )


@pytest.mark.parametrize(
    ("second", "warning"),
    [
        ({"code": {"commit": OTHER}}, f"The trials ran at 2 different git commits: {OTHER} (1), {COMMIT} (1)."),
        ({"code": {"commit": "unknown"}}, "1 of 2 trials ran at an unknown git commit."),
        ({"code": {"clean": "no"}}, "1 of 2 trials ran with uncommitted changes."),
        (
            {"code": {"clean": "unknown"}},
            "1 of 2 trials did not record whether there were uncommitted changes.",
        ),
        ({"code": {"lock_sha256": "unknown"}}, "1 of 2 trials did not record requirements.lock."),
        ({"code": {"lock_sha256": "c"}}, f"requirements.lock differs between trials: SHA-256 {LOCK} (1), c (1)."),
        ({"earlier_commits": [OTHER]}, f"1 of 2 trials started at another git commit: {OTHER}."),
    ],
)
def test_what_makes_a_reproduction_uncertain_is_a_warning(second: dict, warning: str):
    found = reproduce_section(study(trials=(trial(), trial(seed=1, key="k1", **second))))
    assert found.warnings == (warning,)


def test_unknown_code_gives_a_warning_for_everything_unknown():
    bare = trial(key="k0", code=dict.fromkeys(("commit", "clean", "lock_sha256"), "unknown"))
    assert len(reproduce_section(study(trials=(bare,))).warnings) == 3


def test_missing_trials_are_counted():
    found = reproduce_section(study(keys=["k1", "k2"]))
    assert found.warnings == ("2 of the suite's 2 trials and codec baselines have no result.",)


def test_commands_name_the_data_the_study_and_a_trial():
    corpora = [{"name": "speech", "shards": "data/my speech"}]
    found = reproduce_section(study(suite=suite(corpora=corpora), corpora={"speech": corpus()}))
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


def test_no_name_of_data_is_a_command():
    name = "x; rm -rf ~ $(id) `id`"
    corpora = [{"name": "speech", "shards": name}]
    found = reproduce_section(study(name, (trial(dataset=name),), suite=suite(corpora=corpora)))
    lines = [line for command in found.commands for line in command.lines]
    assert sum(name in line for line in lines) == 5
    assert all(f"'{name}" in line for line in lines if name in line)


def test_rows_show_outcomes_and_leave_out_what_is_not_known():
    trials = (
        trial(),
        trial(outcome={"diverged_at_step": 12}),
        trial(outcome={"metrics": {}}),
        trial(model="flac", curves=None, outcome={"metrics": {}}),
    )
    rows = reproduce_section(study(trials=trials)).trials
    assert [(row.outcome, row.epochs, row.seconds) for row in rows] == [
        ("finished", 3, 12.25),
        ("diverged at step 12", 3, 12.25),
        ("finished", 3, 37.5),
        ("finished", None, None),
    ]


@pytest.mark.parametrize("place", SUITES, ids=lambda place: place.stem)
def test_the_configuration_is_a_suite_that_loads_as_the_same(place: Path, tmp_path: Path):
    loaded = load_suite(place)
    again = tmp_path / "again.toml"
    again.write_text(suite_toml(loaded.model_dump(mode="json")), encoding="utf-8")
    assert load_suite(again) == loaded


def test_hostile_text_stays_text_in_toml():
    hostile = "\"]\n[evil]\nx = 1 \\ \x7f \x00 é 🎤 '''"
    values = {"study": hostile, hostile: [1, 2.5, True], "none": None, "table": {"a b": {"c": hostile}, "none": None}}
    read = tomllib.loads(suite_toml(values))
    assert read == {"study": hostile, hostile: [1, 2.5, True], "table": {"a b": {"c": hostile}}}


def test_the_section_escapes_and_stays_light_with_many_trials():
    hostile = [
        trial(corpus=HOSTILE_TEXT, model=HOSTILE_TEXT, seed=seed, code={"commit": HOSTILE_TEXT}) for seed in range(500)
    ]
    found = reproduce_section(study(HOSTILE_TEXT, tuple(hostile), comparison=compared(HOSTILE_TEXT)))
    page = render("sections/reproduce.html.j2", {"reproduction": found}, styles=(), scripts=())
    assert "<img" not in page
    assert page.count("<tr><td") == 500
    assert len(page.encode()) < 750_000


def test_a_value_that_toml_cannot_express_is_refused():
    with pytest.raises(ReportError, match=r"study.json: suite"):
        suite_toml({"x": float("nan")})


def test_the_column_of_runs_is_shown_where_runs_are_known():
    for run_id, columns in (("r0", 9), (None, 8)):
        found = reproduce_section(study(trials=(trial(run_id=run_id),)))
        page = render("sections/reproduce.html.j2", {"reproduction": found}, styles=(), scripts=())
        assert page.count("<th scope") == page.count("<td") == columns
