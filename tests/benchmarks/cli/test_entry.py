"""The command line: exit statuses and output, in this process, and the installed script in its own process."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.cli.entry import main
from pipelines.runtime.locks import lock_directory
from pipelines.runtime.storage import Location


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def bench(*arguments: object, cwd: Path) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            return Done(int(exit_.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("main returned without exiting")


def json_of(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, ink_shards: Path) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("trained")
    arguments = ["--shards", ink_shards, "--model", "vrnn-gauss", "--size", "tiny", "--max-epochs", 1, "--json"]
    return out, json_of(bench("train", *arguments, "--out", out, cwd=out))


def test_prepare_and_inspect_print_the_documented_keys(raw_ink: Path, tmp_path: Path, ray_cluster: None) -> None:
    prepared = json_of(bench("prepare", "iam_ondb", "--raw", raw_ink, "--out", tmp_path / "s", "--json", cwd=tmp_path))
    again = bench("prepare", "iam_ondb", "--raw", raw_ink, "--out", tmp_path / "s", "--json", cwd=tmp_path)
    assert "nothing to do" in again.stderr
    inspected = json_of(bench("inspect", tmp_path / "s", "--json", cwd=tmp_path))
    keys = {
        "corpus",
        "kind",
        "fingerprint",
        "schema_version",
        "sequences",
        "samples",
        "seconds",
        "rejects",
        "mean",
        "std",
    }
    assert keys <= inspected.keys()
    assert inspected["fingerprint"] == prepared["fingerprint"] == json_of(again)["fingerprint"]
    table = bench("inspect", tmp_path / "s", cwd=tmp_path)
    assert inspected["fingerprint"][:12] in table.stdout


def test_train_score_and_generate_print_the_documented_keys(
    checkpoint: tuple[Path, dict[str, Any]], ink_shards: Path, tmp_path: Path
) -> None:
    place, trained = checkpoint
    assert trained.keys() >= {"checkpoint", "epochs", "steps", "valid_nats_per_frame", "trial_key"}
    arguments = [trained["checkpoint"], "--shards", ink_shards, "--split", "test", "--json"]
    elbo = json_of(bench("score", *arguments, cwd=tmp_path))
    iwae = json_of(
        bench("score", *arguments, "--estimator", "iwae", "--num-samples", 5, "--out", "s.parquet", cwd=tmp_path)
    )
    keys = {
        "estimator",
        "num_samples",
        "split",
        "sequences",
        "frames",
        "nats_per_sequence",
        "nats_per_frame",
        "bits_per_sample",
    }
    assert keys | {"fingerprint"} <= elbo.keys()
    assert (elbo["estimator"], iwae["estimator"], iwae["num_samples"]) == ("elbo", "iwae", 5)
    table = pd.read_parquet(tmp_path / "s.parquet")
    assert table["nats"].mean() == pytest.approx(iwae["nats_per_sequence"])
    assert bench("generate", place, "--out", "g", "--count", 2, "--frames", 30, cwd=tmp_path).returncode == 0
    listed = json.loads((tmp_path / "g" / "samples.json").read_text())["samples"]
    strokes = json.loads((tmp_path / "g" / listed[0]["file"]).read_text())["strokes"]
    assert sum(len(stroke) for stroke in strokes) == 31


def assert_refused(done: Done, message: str) -> None:
    lines = [line for line in done.stderr.splitlines() if line.startswith("vrnn-bench:")]
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in done.stderr


def test_a_missing_raw_directory_exits_2(tmp_path: Path) -> None:
    assert_refused(
        bench("prepare", "timit", "--raw", "nowhere", "--out", "o", cwd=tmp_path), "no such directory; point --raw"
    )


def test_a_directory_that_is_not_that_corpus_exits_2(tmp_path: Path, raw_ink: Path) -> None:
    assert_refused(bench("prepare", "timit", "--raw", raw_ink, "--out", "o", cwd=tmp_path), "not a TIMIT tree")
    assert not (tmp_path / "o").exists()


def test_a_suite_with_an_unknown_key_exits_2_and_leaves_no_store(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(
        'study = "s"\nmodels = ["rnn-gauss"]\nseads = [0]\n[[corpora]]\nname="a"\nshards="b"\n'
    )
    assert_refused(bench("run", "s.toml", cwd=tmp_path), "unknown key seads; did you mean seeds?")
    assert not (tmp_path / "mlflow.db").exists()


def test_a_checkpoint_of_another_corpus_exits_2(
    checkpoint: tuple[Path, dict[str, Any]], speech_shards: Path, tmp_path: Path
) -> None:
    done = bench("score", checkpoint[0], "--shards", speech_shards, cwd=tmp_path)
    assert_refused(done, "the checkpoint was trained on iam_ondb")


def test_shards_whose_checksum_fails_exit_2(
    checkpoint: tuple[Path, dict[str, Any]], raw_ink: Path, ink_shards: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "shards"
    copy.mkdir()
    for path in ink_shards.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    victim = copy / "test-00000-of-00001.parquet"
    content = bytearray(victim.read_bytes())
    content[100] ^= 1
    victim.write_bytes(bytes(content))
    for arguments in (["inspect", copy], ["score", checkpoint[0], "--shards", copy]):
        assert_refused(bench(*arguments, cwd=tmp_path), "its checksum differs from the manifest's; delete it")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "tmit", "--raw", ".", "--out", "o"], "did you mean timit?"),
        (
            ["prepare", "iam_ondb", "--raw", ".", "--out", "o", "--include-sa"],
            "has no option 'include_sa'; leave it out",
        ),
        (
            ["prepare", "timit", "--raw", ".", "--out", "o", "--option", "include_sa=maybe"],
            "true or false, not 'maybe'",
        ),
        (["prepare", "blizzard", "--raw", ".", "--out", "o", "--option", "form"], "write NAME=VALUE"),
        (["prepare", "blizzard", "--raw", ".", "--out", "o", "--option", "form=chapters"], "choose one of auto"),
        (
            ["prepare", "audio_folder", "--raw", ".", "--out", "o", "--option", "class_level=x"],
            "a whole number such as 0",
        ),
        (["prepare", "accent", "--raw", ".", "--out", "o", "--workers", "-1"], "must be 1 or more"),
        (["prepare", "accent", "--raw", ".", "--out", "o", "--workers", "0"], "must be 1 or more"),
        (["prepare", "accent", "--raw", ".", "--out", "o", "--source-seconds", "nan"], "must be 1 or more"),
        (["prepare", "accent", "--raw", ".", "--out", "o", "--max-rejects", "-1"], "must be 0 or more"),
        (["prepare", "vctk", "--raw", ".", "--out", "o"], "point --raw at"),
        (["inspect", "nowhere"], "holds no manifest.json"),
        (["score", "nowhere.pt", "--shards", "nowhere"], "no such checkpoint"),
        (["run", "nowhere.toml"], "cannot be read"),
        (["compare", "nothing"], "no study 'nothing'"),
        (["report", "nothing", "--out", "r.html"], "nothing"),
    ],
)
def test_other_wrong_inputs_exit_2_with_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    assert_refused(bench(*arguments, cwd=tmp_path), message)


def test_an_unknown_model_exits_2(ink_shards: Path, tmp_path: Path) -> None:
    done = bench("train", "--shards", ink_shards, "--model", "rnn-gaus", "--out", "o", cwd=tmp_path)
    assert_refused(done, "rnn-gaus")


def test_help_of_every_verb_exits_0(tmp_path: Path) -> None:
    for verb in ("prepare", "inspect", "synthesise", "train", "score", "generate", "run", "compare", "report"):
        assert bench(verb, "--help", cwd=tmp_path).returncode == 0


def test_the_installed_script_exits_2_with_one_line_and_no_traceback(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("vrnn-bench")
    command = [str(script), "prepare", "timit", "--raw", "nowhere", "--out", "o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert_refused(Done(done.returncode, done.stdout, done.stderr), "no such directory; point --raw")


def test_an_output_that_another_run_is_writing_to_is_a_failure_in_one_line(raw_ink: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    with lock_directory(Location(str(out))):
        done = bench("prepare", "iam_ondb", "--raw", raw_ink, "--out", out, cwd=tmp_path)
    assert done.returncode == 1
    assert "another command is writing there" in done.stderr
    assert "Traceback" not in done.stderr
