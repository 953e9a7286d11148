"""The state of a running study at each point of a run, and that it stays small."""

import json
import time
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.errors import StoreError, StudyError
from benchmarks.schema.live_status import LiveEpoch, LiveStudy, LiveTrial, TrialStatus
from benchmarks.schema.samples import SampleEntry
from benchmarks.store.live_reader import LiveReader
from dashboards.live.live_data import StateCache, _pace, _thinned, live_state
from tests.dashboards.running import RunningStudy, copy_of
from tests.dashboards.studies import HOSTILE_STUDY, HOSTILE_TEXT, pen_samples, sample_entry, speech_samples

HOUR = 3_600_000


@pytest.fixture
def uri(empty_store: str, tmp_path: Path) -> str:
    return copy_of(empty_store, tmp_path)


@pytest.fixture
def study(uri: str, tmp_path: Path) -> RunningStudy:
    return RunningStudy(uri, tmp_path)


def test_a_study_is_shown_from_its_plan_to_its_end(study: RunningStudy, uri: str):
    reader = LiveReader(uri)
    state = live_state(reader, "growing")
    assert state["phase"] == "idle"
    assert state["lead"] == (
        "0 of 3 trials have ended. No trial is running: the next one is about to start, or the study was stopped."
    )
    assert (state["counts"]["total"], state["counts"]["waiting"]) == (3, 3)

    study.begin("a")
    study.begin("b", model="vrnn-gauss")
    study.epoch("a", 1, -5.0)
    study.epoch("a", 2, -3.5, speed=1500.0)
    state = live_state(reader, "growing", now=int(time.time() * 1000))
    assert state["lead"] == "0 of 3 trials have ended, 2 running."
    bars = {bar["name"]: (bar["epoch"], bar["most"], bar["text"]) for bar in state["running"]}
    assert bars == {
        "speech, paper, rnn-gmm, seed 0": (2, 4, "epoch 2 of at most 4, 1,500 frames/s"),
        "speech, paper, vrnn-gauss, seed 0": (0, 4, "no epoch has ended yet"),
    }
    (panel,) = state["panels"]
    assert panel["sentence"] == "Best of 1 curve: rnn-gmm, seed 0, −3.500 at epoch 2."
    assert panel["lines"][0]["points"] == [[1, -5.0], [2, -3.5]]
    assert state["speed"]["now"] == 1500

    study.end("a")
    study.end("b", "FAILED", diverged_at_step="7")
    study.begin("c", seed="1")
    study.end("c", "FAILED", failed="out of memory")
    study.finish()
    state = live_state(reader, "growing")
    assert state["phase"] == "finished"
    assert state["lead"] == "The study is finished: 3 of 3 trials have ended."
    assert [state["counts"][o] for o in ("done", "diverged", "failed", "running", "waiting")] == [1, 1, 1, 0, 0]
    assert {end["name"]: end["status"] for end in state["ends"]} == {
        "speech, paper, rnn-gmm, seed 0": "done",
        "speech, paper, vrnn-gauss, seed 0": "diverged",
        "speech, paper, rnn-gmm, seed 1": "failed",
    }


def test_a_stopped_trial_waits_and_its_new_run_takes_its_place(study: RunningStudy, uri: str):
    study.begin("a")
    study.end("a", "KILLED")
    assert live_state(LiveReader(uri), "growing")["counts"]["waiting"] == 3
    study.begin("a")
    study.begin("of another suite")
    counts = live_state(LiveReader(uri), "growing")["counts"]
    assert (counts["waiting"], counts["running"], counts["stopped"]) == (2, 1, 0)


def test_silence_is_reported(study: RunningStudy, uri: str):
    study.begin("a")
    lead = live_state(LiveReader(uri), "growing", now=int(time.time() * 1000) + 25 * 60_000)["lead"]
    assert lead == ("0 of 3 trials have ended. No update for 25 minutes: an epoch takes long, or the study was killed.")


def test_curves_of_a_trial_that_logged_none_come_from_its_artifact(study: RunningStudy, uri: str):
    run = study.begin("a")
    study.epoch("a", 1, None)
    reader = LiveReader(uri)
    assert live_state(reader, "growing")["panels"] == []
    study.curves(run, pd.DataFrame({"epoch": [1, 2, 3], "valid_nats_per_frame": [1.0, float("nan"), 2.0]}))
    study.end("a")
    (panel,) = live_state(reader, "growing")["panels"]
    assert panel["lines"][0]["points"] == [[1, 1.0], [3, 2.0]]


def test_the_latest_samples_are_what_models_made_newest_first(study: RunningStudy, uri: str):
    for key, samples in (("a", speech_samples(1, "said")), ("b", pen_samples(2, "written"))):
        run = study.begin(key)
        study.samples(run, samples)
        study.end(key)
        time.sleep(0.01)
    pen, spoken = live_state(LiveReader(uri), "growing")["samples"]
    assert (pen["kind"], pen["role"], pen["caption"]) == ("pen", "Generated", "written")
    assert pen["path"].startswith("M")
    assert spoken["url"] == f"sample/{study.runs['a']}/generated-0.flac"


def trial(key: str, status: TrialStatus = "done", started: int = 0, ended: int = 0, name: str = "speech") -> LiveTrial:
    return LiveTrial(
        run_id=key,
        key=key,
        corpus=name,
        protocol=name,
        model=name,
        seed="0",
        status=status,
        trained=True,
        started=started,
        ended=ended,
        max_epochs=800,
    )


def live_study(planned: int, *trials: LiveTrial) -> LiveStudy:
    return LiveStudy(status="RUNNING", planned=planned, models=(), trials=trials, version=())


def test_the_pace_is_that_of_the_last_hour_at_most():
    now = 100 * HOUR
    old = trial("old", "done", now - 9 * HOUR, now - 8 * HOUR)
    new = [trial(str(i), "done", now - HOUR // 2, now - i * 60_000) for i in range(3)]
    counts = {"total": 75, "waiting": 70, "running": 1}
    pace = "About 6 trials per hour over the last 30 minutes; 71 of 75 are left."
    expected = f"{pace} Trials differ in length, so the pace may change."
    assert _pace(live_study(75, old, *new), counts, now) == expected
    few = live_study(75, old, new[0])
    assert _pace(few, counts, now) == "Too few trials ended in the last hour to estimate the pace."


class ManyTrials:
    """Stands in for the reader of a store of 500 trials of 800 epochs, with names as long as they may be."""

    def study(self, study: str) -> LiveStudy:
        names = [f"{i:03d}" + HOSTILE_TEXT + "x" * 80 for i in range(500)]
        statuses: list[TrialStatus] = ["running" if i < 60 else "done" for i in range(500)]
        trials = [trial(n[:32], statuses[i], 0, i, n[:80]) for i, n in enumerate(names)]
        return live_study(600, *trials)

    def epochs(self, trial: LiveTrial) -> tuple[LiveEpoch, ...]:
        values = ((i, -1000.123456 + i) for i in range(1, 801))
        return tuple(LiveEpoch(number=i, at=i, frames_per_second=12345.678, valid=value) for i, value in values)

    def samples(self, trial: LiveTrial) -> tuple[SampleEntry, ...]:
        return (sample_entry("pen", "generated", "a.json", "c" * 5000),)

    def drawing(self, trial: LiveTrial, file: str) -> bytes:
        return json.dumps({"strokes": [[[i % 97, i % 89] for i in range(6_000)]]}).encode()


def test_a_state_of_five_hundred_trials_is_small():
    made = StateCache(ManyTrials()).state("big")  # type: ignore[arg-type]
    state = json.loads(made)
    assert len(made) < 500_000
    assert len(state["running"]) == 40
    assert state["hidden"] == 20
    assert sum(len(panel["lines"]) for panel in state["panels"]) == 40
    assert state["undrawn"] == 460
    assert [sample["path"] for sample in state["samples"]] == [""] * 6


def test_an_answer_is_used_again_for_a_while(study: RunningStudy, uri: str):
    live = StateCache(LiveReader(uri))
    before = live.state("growing")
    study.begin("a")
    assert live.state("growing") is before


def test_thinning_keeps_ends_and_peaks():
    points = [(i, float(i % 7)) for i in range(1, 3001)]
    points[1500] = (1501, 99.0)
    points[700] = (701, -99.0)
    thinned = _thinned(points)
    assert len(thinned) <= 200
    assert thinned == sorted(set(thinned))
    assert {points[0], points[-1], (1501, 99.0), (701, -99.0)} <= set(thinned)
    assert _thinned(points[:200]) == points[:200]


def test_an_unknown_study_is_an_error_of_one_line(uri: str, tmp_path: Path):
    with pytest.raises(StudyError, match=r"^no study is named 'nowhere': the start page lists all studies$"):
        LiveReader(uri).study("nowhere")
    RunningStudy(uri, tmp_path, name=HOSTILE_STUDY)
    assert live_state(LiveReader(uri), HOSTILE_STUDY)["study"] == HOSTILE_STUDY


def test_a_store_that_cannot_be_read_is_an_error_of_one_line_without_its_address(tmp_path: Path):
    reader = LiveReader(f"sqlite:///{tmp_path / 'secret.db'}")
    (tmp_path / "secret.db").write_text("not a database")
    for read in (reader.studies, lambda: reader.study("any"), lambda: reader.sample("any", "0" * 32, "a.flac")):
        with pytest.raises(StoreError, match=r"^MLflow cannot be read .*; check MLFLOW_TRACKING_URI$") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_what_a_trial_that_ended_left_is_read_once(study: RunningStudy, uri: str, monkeypatch: pytest.MonkeyPatch):
    study.begin("a")
    study.epoch("a", 1, 2.0)
    study.end("a")
    reader = LiveReader(uri)
    (ended,) = reader.study("growing").trials
    first = reader.epochs(ended)
    monkeypatch.setattr(reader, "_client", None)
    assert reader.epochs(ended) is first
