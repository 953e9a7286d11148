"""The verbs about a study: what they print, and their exit status."""

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.schema.suite import Suite
from benchmarks.store.mlflow_writer import REPORT, store_client
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from pipelines.shards.summary import describe
from tests.benchmarks.cli.test_entry import bench, json_of
from tests.benchmarks.conftest import Alter
from tests.benchmarks.small_studies import run_of, write_suite


def test_compare_prints_rows_differences_and_published_results_and_writes_them(recorded: Suite, tmp_path: Path) -> None:
    done = bench("compare", "small", "--json", cwd=Path.cwd())
    found = json_of(done)
    assert found["study"] == "small"
    assert {row["model"] for row in found["rows"]} == {"rnn-gauss", "vrnn-gauss"}
    (difference,) = found["differences"]
    assert (difference["first"]["model"], difference["verdict"]) == ("rnn-gauss", "not enough seeds")
    assert {pair["published_model"] for pair in found["published"]} == {"RNN-Gauss", "VRNN-Gauss"}
    assert not any(pair["comparable"] for pair in found["published"])
    written = bench("compare", "small", "--out", tmp_path / "out", cwd=Path.cwd())
    assert written.returncode == 0, written.stderr
    assert "not enough seeds" in written.stdout
    expected = {"table.md", "table.tex", "rows.csv", "differences.csv", "published.csv", "comparison.json"}
    assert expected | {"protocol.md", "CITATION.cff"} == {path.name for path in (tmp_path / "out").iterdir()}
    rows = pd.read_csv(tmp_path / "out" / "rows.csv")
    assert rows["nats_per_sequence"].tolist() == [row["nats_per_sequence"] for row in found["rows"]]


def test_a_dry_run_prints_the_plan_and_touches_nothing(recorded: Suite, tmp_path: Path) -> None:
    suite = write_suite(recorded.model_copy(update={"runs": str(tmp_path / "runs"), "study": "planned"}), tmp_path)
    plan = json_of(bench("run", suite, "--dry-run", "--json", cwd=Path.cwd()))
    assert [trial["name"] for trial in plan["trials"]] == ["ink/clean/rnn-gauss/seed0", "ink/clean/vrnn-gauss/seed0"]
    assert not (tmp_path / "runs").exists()
    assert store_client().get_experiment_by_name("planned") is None
    table = bench("run", suite, "--dry-run", cwd=Path.cwd())
    assert table.returncode == 0
    assert "2 trials, 0 of them done" in table.stdout


def test_a_repeated_study_is_identical(recorded: Suite, tmp_path: Path) -> None:
    suite = write_suite(recorded.model_copy(update={"models": ("rnn-gauss",)}), tmp_path)
    again = bench("run", suite, "--study", "again", cwd=Path.cwd())
    assert again.returncode == 0, again.stderr
    found = json_of(bench("compare", "small", "again", "--json", cwd=Path.cwd()))
    assert [(change["model"], change["identical"]) for change in found["changes"]] == [("rnn-gauss", True)]
    assert found["only_before"] == ["ink/clean/vrnn-gauss"]
    assert "identical" in bench("compare", "small", "again", cwd=Path.cwd()).stdout


def test_a_report_is_written_and_logged_to_mlflow(recorded: Suite, tmp_path: Path) -> None:
    client, study = store_client(), store_client().get_experiment_by_name("small")
    assert study is not None
    (parent,) = client.search_runs([study.experiment_id], "tags.role = 'study'")

    def kept() -> list[str]:
        return [artifact.path for artifact in client.list_artifacts(parent.info.run_id)]

    alone = bench("report", "small", "--out", tmp_path / "deep" / "r.html", "--no-log", cwd=Path.cwd())
    assert alone.returncode == 0, alone.stderr
    assert REPORT not in kept()
    bench("report", "small", "--out", tmp_path / "r.html", cwd=Path.cwd())
    logged = Path(client.download_artifacts(parent.info.run_id, REPORT, str(tmp_path)))
    assert logged.read_bytes() == (tmp_path / "r.html").read_bytes() == (tmp_path / "deep" / "r.html").read_bytes()
    assert "rnn-gauss" in logged.read_text()


def test_a_run_logs_its_report_to_mlflow(recorded: Suite, tmp_path: Path) -> None:
    suite = write_suite(recorded.model_copy(update={"models": ("rnn-gauss",), "study": "reported"}), tmp_path)
    assert bench("run", suite, cwd=Path.cwd()).returncode == 0
    study = store_client().get_experiment_by_name("reported")
    assert study is not None
    (parent,) = store_client().search_runs([study.experiment_id], "tags.role = 'study'")
    kept = {artifact.path for artifact in store_client().list_artifacts(parent.info.run_id)}
    assert kept == {"study.json", "corpora.json", "comparison.json", REPORT}
    place = store_client().download_artifacts(parent.info.run_id, "corpora.json", str(tmp_path))
    (corpus,) = recorded.corpora
    described = json.loads(Path(place).read_text())["corpora"]
    assert described == {corpus.name: describe(ShardSet(Location(corpus.shards)))}
    assert (parent.info.status, parent.data.tags["study"]) == ("FINISHED", "reported")


def test_sync_prints_what_it_sent(recorded: Suite) -> None:
    done = bench("sync", Path(recorded.runs) / "small", "--json", cwd=Path.cwd())
    assert json_of(done)["study"] == "small"
    assert "study small: 0 results sent" in done.stderr


def test_reproduce_prints_identical_and_exits_1_if_it_is_not(altered: Alter, tmp_path: Path) -> None:
    run_id = run_of("small", "rnn-gauss")
    done = bench("reproduce", run_id, "--out", tmp_path / "again", "--json", cwd=Path.cwd())
    assert json_of(done)["verdict"] == "identical"
    assert "commit" in done.stderr
    other_id = altered("scores.parquet", lambda scores: scores.assign(nats=scores["nats"] + scores["frames"]))
    other = bench("reproduce", other_id, "--out", tmp_path / "other", cwd=Path.cwd())
    assert other.returncode == 1
    assert f"{other_id} is not reproduced: score of sequence " in other.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sync", "nowhere"], "no study was run there"),
        (["reproduce", "0" * 32], "no run '0000"),
        (["reproduce", "nowhere/clean/vrnn-gauss/seed0"], "no run 'nowhere/clean/vrnn-gauss/seed0'"),
        (["compare", "small", "again", "--out", "here"], "--out writes one study's comparison"),
        (["reproduce", "0" * 32, "--tolerance", "-1"], "--tolerance -1.0: must be 0 or more"),
        (["compare", "small", "nowhere"], "no study 'nowhere' in sqlite"),
    ],
)
def test_missing_studies_and_runs_exit_2_with_one_line(recorded: Suite, arguments: list[str], message: str) -> None:
    done = bench(*arguments, cwd=Path.cwd())
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
