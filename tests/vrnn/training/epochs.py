"""One epoch of a run that nothing stops."""

from vrnn.training import EpochRecord
from vrnn.training.loop import Run, finish_epoch, train_epoch

__all__ = ["run_epoch"]


def run_epoch(run: Run) -> EpochRecord:
    stopped = train_epoch(run)
    record = finish_epoch(run)
    assert not stopped
    assert record is not None
    return record
