from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from pipelines.prepare.driver import PrepareOptions, PrepareResult, prepare
from pipelines.prepare.ray_runner import run_on_ray
from pipelines.prepare.shard_task import run_shard_task
from pipelines.runtime import locks
from pipelines.runtime.locks import BusyError
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from pipelines.shards.verify import verify_shards
from tests.conftest import prepare_here
from tests.pipelines.object_store import Store


def upload(raw: Path, target: Location) -> Location:
    for path in raw.rglob("*"):
        if path.is_file():
            (target / str(path.relative_to(raw))).write_bytes(path.read_bytes())
    return target


def prepare_there(corpus: str, raw: Location, out: Location, **options: object) -> PrepareResult:
    plan = PrepareOptions(**options)  # type: ignore[arg-type]
    return prepare(corpus, raw, out, plan, run_tasks=lambda tasks, _: map(run_shard_task, tasks))


@pytest.mark.parametrize(("corpus", "source"), [("iam_ondb", "raw_ink"), ("timit", "raw_speech")])
def test_an_object_store_gives_the_manifest_that_the_disk_gives(
    store: Store, corpus: str, source: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    local_raw = request.getfixturevalue(source)
    raw = upload(local_raw, store.at("raw"))
    done = prepare_there(corpus, raw, store.at("shards"))
    assert verify_shards(store.at("shards")).problems == ()
    assert done.manifest == prepare_here(corpus, local_raw, tmp_path / "local").manifest
    shards = ShardSet(store.at("shards"))
    assert len(shards.signal(0)) == shards.index["length"].iloc[0]
    assert prepare_there(corpus, raw, store.at("shards")).written == 0


def test_a_successor_in_an_object_store_replaces_the_set_completely(store: Store, raw_speech: Path) -> None:
    raw = upload(raw_speech, store.at("raw"))
    first = prepare_there("timit", raw, store.at("shards"), shard_bytes=1)
    second = prepare_there("timit", raw, store.at("shards"))
    assert second.manifest.fingerprint == first.manifest.fingerprint
    verification = verify_shards(store.at("shards"))
    assert verification.problems == ()
    assert verification.shards == len([file for file in store.at("shards").files() if "-of-" in file.path]) // 2


@pytest.mark.slow
def test_requests_to_a_busy_store_are_retried(store: Store, raw_speech: Path, tmp_path: Path) -> None:
    raw = upload(raw_speech, store.at("raw"))
    seen: Counter[tuple[str, str]] = Counter()

    def first_of_each_is_refused(method: str, path: str) -> bool:
        seen[method, path] += 1
        return seen[method, path] == 1

    store.refuse = first_of_each_is_refused
    done = prepare_there("timit", raw, store.at("shards"))
    assert store.refused > 20
    assert done.manifest == prepare_here("timit", raw_speech, tmp_path / "local").manifest


@pytest.mark.slow
def test_a_store_that_stays_broken_ends_the_run_after_a_bounded_number_of_attempts_and_loses_no_source(
    store: Store, raw_speech: Path, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = upload(raw_speech, store.at("raw"))
    monkeypatch.setattr("pipelines.prepare.ray_runner._PAUSE_SECONDS", 0.01)
    victim = sorted(raw_speech.rglob("*.WAV"))[-1].name
    store.refuse = lambda method, path: path.endswith(victim)
    with pytest.raises(OSError, match=r"SLOW_DOWN|SlowDown|503"):
        prepare("timit", raw, store.at("shards"), PrepareOptions(), run_tasks=partial(run_on_ray, address=None))
    asked = Counter(path for method, path in store.requests if store.refuse(method, path))
    assert all(count < 200 for count in asked.values())
    store.refuse = lambda method, path: False
    assert prepare_there("timit", raw, store.at("shards")).manifest.rejects == {}


def test_of_two_runs_into_one_bucket_the_second_is_refused(
    store: Store, raw_speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = upload(raw_speech, store.at("raw"))
    with locks.lock_directory(store.at("shards")), pytest.raises(BusyError, match="another command is writing"):
        prepare_there("timit", raw, store.at("shards"))
    (store.at("shards") / ".state" / "lock").write_bytes(b'{"name": "dead", "owner": "dead", "renewed": 0}')
    assert prepare_there("timit", raw, store.at("shards")).written
    monkeypatch.setattr(locks, "_active_owner", lambda lock: None)

    def overtaken(seconds: float) -> None:
        (store.at("shards") / ".state" / "lock").write_bytes(b'{"name": "faster", "owner": "the other"}')

    monkeypatch.setattr(locks.time, "sleep", overtaken)
    with pytest.raises(BusyError, match="the other"):
        prepare_there("timit", raw, store.at("shards"), shard_bytes=1)


def test_an_incomplete_object_does_not_appear(store: Store) -> None:
    def write_half() -> None:
        with store.at("half").atomic_writer() as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert not store.at("half").is_file()
