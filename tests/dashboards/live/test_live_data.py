"""The state of a running study: what it says at each point of a run, and that it stays small."""

import json
import time
from pathlib import Path

import pandas as pd
import pytest

from dashboards.errors import ReportError
from dashboards.live.bounded_cache import Recent
from dashboards.live.follow_study import Follower
from dashboards.live.live_data import Live, _rest, _thinned, state_of
from dashboards.live.live_status import Epoch, Followed, Look
from tests.dashboards.running import RunningStudy, copy_of
from tests.dashboards.studies import HOSTILE_STUDY, HOSTILE_TEXT, Store, pen_samples, speech_samples

HOUR = 3_600_000


@pytest.fixture
def uri(store: Store, tmp_path: Path) -> str:
    return copy_of(store.empty_uri, tmp_path)


@pytest.fixture
def study(uri: str, tmp_path: Path) -> RunningStudy:
    return RunningStudy(uri, tmp_path)


def test_a_study_is_followed_from_its_plan_to_its_end(study: RunningStudy, uri: str):
    follower = Follower(uri)
    state = state_of(follower, "growing")
    assert state["phase"] == "quiet"
    assert state["lead"] == "0 of 3 trials have ended; no trial is running: it is between two, or was stopped."
    assert (state["counts"]["total"], state["counts"]["waiting"]) == (3, 3)

    study.begin("a")
    study.begin("b", model="vrnn-gauss")
    study.epoch("a", 1, -5.0)
    study.epoch("a", 2, -3.5, speed=1500.0)
    state = state_of(follower, "growing", now=int(time.time() * 1000))
    assert state["lead"] == "0 of 3 trials have ended, 2 running."
    bars = {bar["name"]: (bar["epoch"], bar["most"], bar["text"]) for bar in state["running"]}
    assert bars == {
        "speech, paper, rnn-gmm, seed 0": (2, 4, "epoch 2 of at most 4, 1,500 frames/s"),
        "speech, paper, vrnn-gauss, seed 0": (0, 4, "no epoch has ended yet"),
    }
    (panel,) = state["panels"]
    assert panel["told"] == "Highest so far: rnn-gmm, seed 0, −3.500 after epoch 2, of 1 drawn."
    assert panel["lines"][0]["points"] == [[1, -5.0], [2, -3.5]]
    assert state["speed"]["now"] == 1500

    study.end("a")
    study.end("b", "FAILED", diverged_at_step="7")
    study.begin("c", seed="1")
    study.end("c", "FAILED", failed="out of memory")
    study.finish()
    state = state_of(follower, "growing")
    assert state["phase"] == "finished"
    assert state["lead"] == "The study is finished: 3 of 3 trials have ended."
    assert [state["counts"][o] for o in ("done", "diverged", "failed", "running", "waiting")] == [1, 1, 1, 0, 0]
    assert {end["name"]: end["outcome"] for end in state["ends"]} == {
        "speech, paper, rnn-gmm, seed 0": "done",
        "speech, paper, vrnn-gauss, seed 0": "diverged",
        "speech, paper, rnn-gmm, seed 1": "failed",
    }


def test_a_stopped_trial_waits_and_its_new_run_takes_its_place(study: RunningStudy, uri: str):
    study.begin("a")
    study.end("a", "KILLED")
    assert state_of(Follower(uri), "growing")["counts"]["waiting"] == 3
    study.begin("a")
    study.begin("of another suite")
    counts = state_of(Follower(uri), "growing")["counts"]
    assert (counts["waiting"], counts["running"], counts["stopped"]) == (2, 1, 0)


def test_silence_is_told(study: RunningStudy, uri: str):
    study.begin("a")
    lead = state_of(Follower(uri), "growing", now=int(time.time() * 1000) + 25 * 60_000)["lead"]
    told = "0 of 3 trials have ended; nothing was heard for 25 minutes: a long epoch, or the study was killed."
    assert lead == told


def test_curves_of_a_trial_that_logged_none_come_from_its_artifact(study: RunningStudy, uri: str):
    run = study.begin("a")
    study.epoch("a", 1, None)
    follower = Follower(uri)
    assert state_of(follower, "growing")["panels"] == []
    study.writer.curves(run, pd.DataFrame({"epoch": [1, 2, 3], "valid_nats_per_frame": [1.0, float("nan"), 2.0]}))
    study.end("a")
    (panel,) = state_of(follower, "growing")["panels"]
    assert panel["lines"][0]["points"] == [[1, 1.0], [3, 2.0]]


def test_the_latest_samples_are_what_models_made_newest_first(study: RunningStudy, uri: str):
    for key, samples in (("a", speech_samples(1, "said")), ("b", pen_samples(2, "written"))):
        run = study.begin(key)
        study.writer.samples(run, samples)
        study.end(key)
        time.sleep(0.01)
    pen, spoken = state_of(Follower(uri), "growing")["samples"]
    assert (pen["kind"], pen["role"], pen["caption"]) == ("pen", "Generated", "written")
    assert pen["path"].startswith("M")
    assert spoken["url"] == f"sample/{study.runs['a']}/generated-0.flac"


def followed(key: str, outcome: str, started: int, ended: int) -> Followed:
    return Followed(key, key, "speech", "paper", "rnn-gmm", "0", outcome, True, started, ended, 4)


def test_the_pace_is_that_of_the_last_hour_at_most():
    now = 100 * HOUR
    old = followed("old", "done", now - 9 * HOUR, now - 8 * HOUR)
    new = [followed(str(i), "done", now - HOUR // 2, now - i * 60_000) for i in range(3)]
    counts = {"total": 75, "waiting": 70, "running": 1}
    look = Look("RUNNING", 75, (), (old, *new), ())
    told = "About 6 trials an hour over the last 30 minutes; 71 of 75 are left."
    assert _rest(look, counts, now) == f"{told} Trials differ in length, so the pace may change."
    few = Look("RUNNING", 75, (), (old, new[0]), ())
    assert _rest(few, counts, now) == "Too few trials have ended lately to say how fast it goes."


class ManyTrials:
    """Stands in for the reader of a store of 500 trials of 800 epochs, with names as long as they may be."""

    def look(self, study: str) -> Look:
        names = [f"{i:03d}" + HOSTILE_TEXT + "x" * 80 for i in range(500)]
        trials = [
            Followed(n[:32], n[:32], n[:80], n[:80], n[:80], "0", "running" if i < 60 else "done", True, 0, i, 800)
            for i, n in enumerate(names)
        ]
        return Look("RUNNING", 600, (), tuple(trials), ())

    def epochs(self, trial: Followed) -> tuple[Epoch, ...]:
        return tuple(Epoch(i, i, 12345.678, -1000.123456 + i) for i in range(1, 801))

    def listing(self, trial: Followed) -> tuple[dict[str, str], ...]:
        return ({"kind": "pen", "role": "generated", "file": "a.json", "caption": "c" * 5000},)

    def drawing(self, trial: Followed, file: str) -> bytes:
        return json.dumps({"strokes": [[[i % 97, i % 89] for i in range(6_000)]]}).encode()


def test_a_state_of_five_hundred_trials_is_small():
    made = Live(ManyTrials()).state("big")  # type: ignore[arg-type]
    state = json.loads(made)
    assert len(made) < 500_000
    assert len(state["running"]) == 40
    assert state["hidden"] == 20
    assert sum(len(panel["lines"]) for panel in state["panels"]) == 40
    assert state["undrawn"] == 460
    assert [sample["path"] for sample in state["samples"]] == [""] * 6


def test_an_answer_is_used_again_for_a_while(study: RunningStudy, uri: str):
    live = Live(Follower(uri))
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


def test_a_cache_forgets_what_was_asked_for_longest_ago():
    cache: Recent[int] = Recent(2)
    assert [cache.get(key, lambda key=key: key) for key in (1, 2)] == [1, 2]
    cache.get(1, lambda: 0)
    cache.get(3, lambda: 3)
    assert len(cache) == 2
    assert cache.get(1, lambda: 10) == 1
    assert cache.get(2, lambda: 20) == 20


def test_an_unknown_study_is_an_error_of_one_line(store: Store):
    with pytest.raises(ReportError, match=r"^no study is named 'nowhere': the first page lists them$"):
        Follower(store.uri).look("nowhere")
    assert state_of(Follower(store.uri), HOSTILE_STUDY)["study"] == HOSTILE_STUDY
