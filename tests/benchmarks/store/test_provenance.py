import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from benchmarks.store import provenance
from benchmarks.store.provenance import environment


def git(place: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    command = ["git", "-C", str(place), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "checkout"
    place.mkdir()
    git(place, "init", "-q")
    (place / "code.py").write_text("1")
    git(place, "add", ".")
    git(place, "commit", "-qm", "first")
    monkeypatch.setattr(provenance, "_CHECKOUT", place)
    monkeypatch.delenv("VRNN_BENCH_COMMIT", raising=False)
    return place


def test_a_checkout_says_its_commit_and_whether_anything_was_changed_since(checkout: Path) -> None:
    assert provenance.code.__wrapped__().clean == "yes"
    assert provenance.code.__wrapped__().commit == git(checkout, "rev-parse", "HEAD")
    (checkout / "output").write_text("not code")
    assert provenance.code.__wrapped__().clean == "yes", "what a run writes next to the code changes no code"
    (checkout / "code.py").write_text("2")
    assert provenance.code.__wrapped__().clean == "no"


def test_a_package_below_somebody_elses_checkout_has_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = checkout / "site-packages"
    installed.mkdir()
    monkeypatch.setattr(provenance, "_CHECKOUT", installed)
    found = provenance.code.__wrapped__()
    assert (found.commit, found.clean) == ("unknown", "unknown")


def test_the_lock_is_named_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "requirements.lock"
    monkeypatch.setattr(provenance, "_LOCK", lock)
    assert provenance.code.__wrapped__().lock_sha256 == "unknown"
    lock.write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert provenance.code.__wrapped__().lock_sha256 == expected


def test_the_environment_names_packages_and_what_rounds_sums() -> None:
    found = environment()
    assert found.packages["torch"] == version("torch")
    assert found.threads == torch.get_num_threads()
    assert found.machine.keys() == {"system", "processor", "vector_width", "threads", "accelerator"}
    assert all(found.machine.values())
