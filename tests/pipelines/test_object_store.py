from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs
import pytest
from moto.server import ThreadedMotoServer

from pipelines.prepare import PrepareOptions, prepare
from pipelines.shard_set import ShardSet
from pipelines.shard_task import run_shard_task
from pipelines.storage import Location
from tests.conftest import prepare_here


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    query = f"scheme=http&endpoint_override={host}:{port}&region=us-east-1&allow_bucket_creation=true"
    filesystem, path = pyarrow.fs.FileSystem.from_uri(f"s3://bench?{query}")
    filesystem.create_dir(path)
    yield query
    server.stop()


def at(query: str, key: str) -> Location:
    return Location(f"s3://bench/{key}?{query}")


def test_an_object_store_gives_the_fingerprint_that_the_disk_gives(bucket: str, raw_ink: Path, tmp_path: Path) -> None:
    raw = at(bucket, "raw")
    for path in raw_ink.rglob("*"):
        if path.is_file():
            (raw / str(path.relative_to(raw_ink))).write_bytes(path.read_bytes())
    out = at(bucket, "shards")
    done = prepare("iam_ondb", raw, out, PrepareOptions(), run_tasks=lambda tasks, _: map(run_shard_task, tasks))
    shards = ShardSet(out)
    shards.verify()
    local = prepare_here("iam_ondb", raw_ink, tmp_path / "local").manifest
    assert done.manifest == local
    assert len(shards.signal(0)) == shards.index["length"].iloc[0]
