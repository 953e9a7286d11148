"""Runs that are stopped at any moment, and checkpoints that went bad: they end with the bits of an undisturbed run."""

import logging
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pyarrow import NativeFile

from pipelines.batches.epoch_plan import Positions
from pipelines.runtime.storage import Location
from tests.conftest import MakeSpec
from tests.vrnn.training.epochs import run_epoch
from tests.vrnn.training.options import ALL_OPTIONS
from vrnn.errors import CheckpointError
from vrnn.training import checkpoints, load_checkpoint, loop, train
from vrnn.training.checkpoints import BEST, LAST, CheckpointPolicy
from vrnn.training.loop import open_run
from vrnn.training.step import Segment

ALWAYS = CheckpointPolicy(seconds=1e-9, keep=2)
EPOCHS = 2


class StoppedError(Exception):
    pass


def weights(place: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(Location(str(place))).weights


def assert_same_end(one: Path, other: Path) -> None:
    for name in (BEST, LAST):
        first, second = weights(one / name), weights(other / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    states = [load_checkpoint(Location(str(place / LAST))).state for place in (one, other)]
    assert states[0].step == states[1].step
    for a, b in zip(states[0].history, states[1].history, strict=True):
        assert a.train_nats_per_frame == b.train_nats_per_frame
        assert a.valid_nats_per_frame == b.valid_nats_per_frame
        assert (a.gradient_norm_mean, a.gradient_norm_max) == (b.gradient_norm_mean, b.gradient_norm_max)
        assert b.seconds > 0


@pytest.mark.parametrize("options", [{}, ALL_OPTIONS])
def test_stopped_in_the_middle_of_any_batch_it_ends_with_the_same_bits(
    make_spec: MakeSpec, tmp_path: Path, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(max_epochs=EPOCHS, **options | {"batch_size": 2})
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(spec, Location(str(whole)))
    split_segments, calls = loop.split_segments, 0

    def dies_at_every_third(lengths: Positions, truncate_frames: int) -> list[Segment]:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise StoppedError
        return split_segments(lengths, truncate_frames)

    monkeypatch.setattr(loop, "split_segments", dies_at_every_third)
    deaths = 0
    for _ in range(100):
        try:
            train(spec, Location(str(stopped)), policy=ALWAYS)
            break
        except StoppedError:
            deaths += 1
    assert deaths > EPOCHS
    assert_same_end(whole, stopped)


@pytest.mark.parametrize("fatal", ["before the new file", "after it", "after the best"])
def test_stopped_while_it_is_saved_it_ends_with_the_same_bits(
    make_spec: MakeSpec, tmp_path: Path, fatal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(max_epochs=EPOCHS, batch_size=3)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(spec, Location(str(whole)))
    save, saved = checkpoints.save_checkpoint, 0

    def dies_once(place: Location, checkpoint: object) -> None:
        nonlocal saved
        saved += 1
        ends_here = saved >= 4 and (place.path.endswith(BEST) == (fatal == "after the best"))
        if ends_here and fatal == "before the new file":
            raise StoppedError
        save(place, checkpoint)
        if ends_here:
            raise StoppedError

    monkeypatch.setattr(checkpoints, "save_checkpoint", dies_once)
    with pytest.raises(StoppedError):
        train(spec, Location(str(stopped)), policy=ALWAYS)
    monkeypatch.setattr(checkpoints, "save_checkpoint", save)
    train(spec, Location(str(stopped)), policy=ALWAYS)
    assert_same_end(whole, stopped)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk", None])
def test_a_damaged_newest_is_set_aside_with_a_warning_and_the_one_before_it_used(
    make_spec: MakeSpec, tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    spec = make_spec(max_epochs=EPOCHS, batch_size=3)
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    train(spec, Location(str(whole)))
    run_epoch(open_run(spec, Location(str(damaged)), ALWAYS))
    newest = damaged / LAST
    stored = newest.read_bytes()
    newest.write_bytes(stored[: len(stored) // 2] if content is None else content)
    with caplog.at_level(logging.WARNING):
        train(spec, Location(str(damaged)), policy=ALWAYS)
    assert "last.pt" in caplog.text
    assert "resuming from the checkpoint before it" in caplog.text
    assert (damaged / "damaged-last.pt").is_file()
    assert_same_end(whole, damaged)


def test_no_flipped_bit_of_a_checkpoint_goes_unnoticed(make_spec: MakeSpec, tmp_path: Path) -> None:
    train(make_spec(max_epochs=1), Location(str(tmp_path)))
    stored = (tmp_path / LAST).read_bytes()
    whole, chance, noticed = weights(tmp_path / LAST), random.Random(0), 0
    for _ in range(200):
        spoilt = bytearray(stored)
        spoilt[chance.randrange(len(stored))] ^= 1 << chance.randrange(8)
        (tmp_path / "spoilt.pt").write_bytes(bytes(spoilt))
        try:
            read = weights(tmp_path / "spoilt.pt")
        except CheckpointError:
            noticed += 1
        else:
            assert all(torch.equal(read[name], whole[name]) for name in whole), "padding at most"
    assert noticed > 150


def test_asked_to_stop_while_it_validates_it_is_saved_and_ends_with_the_same_bits(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(max_epochs=EPOCHS, batch_size=3)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(spec, Location(str(whole)))
    asked, validate = [False], loop.validate

    def asked_meanwhile(run: loop.Run, stop: Callable[[], bool]) -> object:
        asked[0] = True
        return validate(run, stop)

    monkeypatch.setattr(loop, "validate", asked_meanwhile)
    result = train(spec, Location(str(stopped)), stop=lambda: asked[0])
    assert not result.state.finished
    assert result.state.epoch == 0, "the epoch's record waits for its validation"
    assert load_checkpoint(Location(str(stopped / LAST))).state.step == result.state.step > 0
    monkeypatch.setattr(loop, "validate", validate)
    train(spec, Location(str(stopped)))
    assert_same_end(whole, stopped)


def test_where_none_can_be_read_it_does_not_start_again(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(max_epochs=1)
    train(spec, Location(str(tmp_path)), policy=ALWAYS)
    for place in tmp_path.glob("last*.pt"):
        place.write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of its 2 checkpoints can be read"):
        train(spec, Location(str(tmp_path)))


def test_one_that_a_run_moves_away_as_another_process_reads_it_is_missed_by_name(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(make_spec(max_epochs=1), Location(str(tmp_path)))
    opened = Location.open

    def moved_before(place: Location) -> NativeFile:
        Path(place.path).unlink()
        return opened(place)

    monkeypatch.setattr(Location, "open", moved_before)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(Location(str(tmp_path / LAST)))


def test_as_many_are_kept_as_were_asked_for(make_spec: MakeSpec, tmp_path: Path) -> None:
    for epochs, keep in ((2, 4), (3, 2), (4, 1)):
        run = open_run(make_spec(max_epochs=9), Location(str(tmp_path)), CheckpointPolicy(1e-9, keep))
        while run.state.epoch < epochs:
            run_epoch(run)
        names = [LAST, *(f"last-{age}.pt" for age in range(1, keep))]
        assert {path.name for path in tmp_path.glob("last*")} == set(names)
        steps = [load_checkpoint(Location(str(tmp_path / name))).state.step for name in names]
        assert steps == sorted(steps, reverse=True)


def test_within_an_epoch_it_is_saved_only_when_due(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    run, saved = open_run(make_spec(batch_size=2), Location(str(tmp_path)), CheckpointPolicy(seconds=3.0)), []
    split_segments, save_last = loop.split_segments, run.directory.save_last

    def takes_a_second(lengths: Positions, truncate_frames: int) -> list[Segment]:
        clock[0] += 1.0
        return split_segments(lengths, truncate_frames)

    def noted(checkpoint: object) -> None:
        saved.append(clock[0])
        save_last(checkpoint)

    monkeypatch.setattr(loop, "split_segments", takes_a_second)
    monkeypatch.setattr(run.directory, "save_last", noted)
    run_epoch(run)
    batches = int(clock[0])
    assert batches > 6
    assert saved == [*(float(t) for t in range(3, batches + 1, 3)), float(batches)]


@pytest.mark.parametrize(("seconds", "keep"), [(0.0, 1), (float("nan"), 1), (1.0, 0), (1.0, 1000)])
def test_a_policy_out_of_range_is_refused_in_one_line(seconds: float, keep: int) -> None:
    with pytest.raises(CheckpointError, match="checkpoints"):
        CheckpointPolicy(seconds, keep)


@pytest.mark.slow
def test_killed_and_started_again_until_it_is_done(make_spec: MakeSpec, tmp_path: Path) -> None:
    """SIGKILL, twice, wherever the process happens to be once it has saved something new."""
    spec = make_spec(max_epochs=4)
    train(spec, Location(str(tmp_path / "whole")))
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    code = (
        "import sys, torch; torch.set_num_threads(int(sys.argv[3]))\n"
        "from pathlib import Path; from pipelines.runtime.storage import Location\n"
        "from vrnn.training import CheckpointPolicy, TrialSpec, train\n"
        "spec = TrialSpec.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "train(spec, Location(sys.argv[2]), policy=CheckpointPolicy(1e-9))\n"
    )
    killed = tmp_path / "killed"
    command = [sys.executable, "-c", code, str(tmp_path / "spec.json"), str(killed), str(torch.get_num_threads())]
    kills = 0
    for _ in range(2):
        before = (killed / LAST).stat().st_mtime_ns if (killed / LAST).exists() else 0
        with subprocess.Popen(command) as process:
            while process.poll() is None and not ((killed / LAST).exists() and before < mtime(killed / LAST)):
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
    assert kills >= 1
    subprocess.run(command, check=True)
    assert_same_end(tmp_path / "whole", killed)


def mtime(place: Path) -> int:
    try:
        return place.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
