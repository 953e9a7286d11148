import logging
from pathlib import Path

import pytest

from pipelines.runtime.locks import process_name
from pipelines.runtime.storage import Location
from tests.conftest import MakeSpec
from vrnn.training import journal as journals
from vrnn.training.journal import journal
from vrnn.training.retries import train_locally


def lines(out: Path) -> list[str]:
    """The lines of rank 0 without the times."""
    return [line.partition(" ")[2] for line in (out / "logs" / "worker-0.txt").read_text().splitlines()]


def test_every_process_of_a_run_is_noted_with_its_epochs(make_spec: MakeSpec, tmp_path: Path) -> None:
    for seen in range(2):
        train_locally(make_spec(max_epochs=1), Location(str(tmp_path)))
        begun = [line for line in lines(tmp_path) if line == f"{process_name()} begins"]
        assert len(begun) == seen + 1
    assert len([line for line in lines(tmp_path) if line.startswith("epoch 1, step ")]) == 1


def test_a_fault_is_noted_with_its_traceback_and_warnings_with_their_level(tmp_path: Path) -> None:
    def fails() -> None:
        logging.getLogger("vrnn.training.loop").warning("odd")
        logging.getLogger("other").warning("none of ours")
        raise ZeroDivisionError("the reason")

    with pytest.raises(ZeroDivisionError), journal(Location(str(tmp_path)), 0):
        fails()
    noted = lines(tmp_path)
    assert "warning: odd" in noted
    assert "none of ours" not in "".join(noted)
    assert noted[-1] == "ZeroDivisionError: the reason"
    assert any("test_journal.py" in line for line in noted)


def test_it_keeps_the_newest_lines_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "_MOST_LINES", 5)
    for _ in range(2):
        with journal(Location(str(tmp_path)), 0) as log:
            for number in range(20):
                log.note(f"line {number}")
    assert lines(tmp_path) == [f"line {number}" for number in (16, 17, 18, 19)] + ["ends"]
