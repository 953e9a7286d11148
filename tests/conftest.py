"""Shared by all tests: quiet libraries, the slow marker, one Ray a session, corpora and shards made once."""

import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}
os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}

import hypothesis
import ray
import torch

from pipelines.prepare.driver import PrepareOptions, PrepareResult, prepare
from pipelines.prepare.shard_task import run_shard_task
from pipelines.runtime import locks
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from pipelines.synthesis import synthesise_handwriting, synthesise_speech
from vrnn.training import Optimisation, TrialSpec
from vrnn.training.spec import plan_trial

if TYPE_CHECKING:
    from tests.pipelines.object_store import Store

# How long an example takes depends on what else the machine does: no test is about that.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

MakeSpec = Callable[..., TrialSpec]
REAL_NAMES = ("timit", "iam_ondb", "single_speaker", "nonverbal", "accent", "oddbox")
REAL_CORPORA = Path(os.environ.get("VRNN_BENCH_CORPORA", Path(__file__).parents[2] / "shared" / "corpora"))

POINTS, STROKE_ENDS = 160, "</Stroke>\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow; run with --slow"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors here are tiny: a second thread costs more than it brings, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def ray_cluster() -> None:
    """The session's Ray, started by the first test that needs it."""
    if not ray.is_initialized():
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)


@pytest.fixture
def no_ray() -> None:
    """End the session's Ray, for tests that cannot run next to it; the next test that needs it starts it again."""
    ray.shutdown()


@pytest.fixture(scope="session", autouse=True)
def ray_ends() -> Iterator[None]:
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def real_corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real corpora, unpacked; set VRNN_BENCH_CORPORA to where their archives and unpack.sh lie."""
    script = REAL_CORPORA / "unpack.sh"
    if not script.is_file():
        pytest.skip(f"no real corpora at {REAL_CORPORA}; set VRNN_BENCH_CORPORA")
    target = tmp_path_factory.mktemp("real-corpora")
    subprocess.run([str(script), str(target), *REAL_NAMES], check=True)
    return target


@pytest.fixture(scope="session")
def raw_speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raw") / "speech"
    synthesise_speech(out, train_speakers=3, test_speakers=1, seed=1)
    return out


@pytest.fixture(scope="session")
def raw_ink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Handwriting of lines so short that the loop over their points is no longer what most of the tests wait for."""
    out = tmp_path_factory.mktemp("raw") / "ink"
    synthesise_handwriting(out, train_forms=3, valid_forms=1, test_forms=1, seed=1)
    for line in (out / "lineStrokes").rglob("*.xml"):
        *strokes, rest = line.read_text("latin-1").split(STROKE_ENDS)
        points = accumulate(stroke.count("<Point") for stroke in strokes)
        kept = [stroke for stroke, so_far in zip(strokes, points, strict=True) if so_far <= POINTS]
        line.write_text(STROKE_ENDS.join([*kept, rest]), "latin-1")
    return out


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator["Store"]:
    """An S3 endpoint; its library takes seconds to import."""
    from tests.pipelines.object_store import Store

    monkeypatch.setattr(locks, "SETTLE_SECONDS", 0.05)
    store = Store()
    store.start()
    yield store
    store.stop()


def prepare_here(corpus: str, raw: Path, out: Path, **options: object) -> PrepareResult:
    """Prepare in this process, without Ray."""
    plan = PrepareOptions(**options)  # type: ignore[arg-type]
    return prepare(
        corpus, Location(str(raw)), Location(str(out)), plan, run_tasks=lambda tasks, _: map(run_shard_task, tasks)
    )


@pytest.fixture(scope="session")
def speech_shards(raw_speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "speech"
    prepare_here("timit", raw_speech, out)
    return out


@pytest.fixture(scope="session")
def ink_shards(raw_ink: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "ink"
    prepare_here("iam_ondb", raw_ink, out)
    return out


@pytest.fixture
def speech(speech_shards: Path) -> ShardSet:
    return ShardSet(Location(str(speech_shards)))


@pytest.fixture
def ink(ink_shards: Path) -> ShardSet:
    return ShardSet(Location(str(ink_shards)))


@pytest.fixture
def make_spec(ink: ShardSet, speech: ShardSet) -> MakeSpec:
    def make(model: str = "vrnn-gauss", kind: str = "pen", seed: int = 0, **optimisation: object) -> TrialSpec:
        shards = ink if kind == "pen" else speech
        fast: dict[str, object] = {"max_epochs": 2, "batch_size": 8, "precision": "float64"}
        settings = Optimisation.model_validate(fast | optimisation)
        return plan_trial(shards.location.uri, "clean", model, "tiny", settings, seed)

    return make
