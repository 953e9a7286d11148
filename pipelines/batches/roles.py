"""The roles of sequences: which ones to train on, which ones choose the checkpoint, and which ones are reported.

A set that is reported must not choose the checkpoint (only `paper` on IAM-OnDB does so, as the paper did). If the
shards lack a split that the protocol names, a tenth of the training groups is held out to choose the checkpoint, and
the evaluation split that exists is reported. The rule that was applied is stored in words with the result.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.batches.protocol import Protocol, window_lengths
from pipelines.corpora.splits import hold_out
from pipelines.errors import InputError
from pipelines.shards.read import ShardSet

__all__ = ["Roles", "assign_roles", "split_rows"]

Rows = npt.NDArray[np.int64]

_HELD_OUT_FRACTION = 0.1


@dataclass(frozen=True)
class Roles:
    """Positions in a shard set's index, by role.

    Attributes:
        fit: the sequences to train on.
        select: the sequences that choose the checkpoint.
        report_split: the split whose score is reported.
        rule: how the roles were assigned, in words.
    """

    fit: Rows
    select: Rows
    report_split: str
    rule: str


def split_rows(shards: ShardSet, protocol: Protocol, splits: tuple[str, ...]) -> Rows:
    """Positions in the index of the sequences of `splits` that have at least one frame, or one window if cut."""
    lengths = shards.index["length"].to_numpy(dtype=np.int64)
    framed = np.array([bool(window_lengths(protocol, int(length))) for length in lengths], dtype=np.bool_)
    in_splits = np.isin(shards.index[protocol.split_column].to_numpy(dtype=object), splits)
    return np.flatnonzero(in_splits & framed).astype(np.int64)


def assign_roles(shards: ShardSet, protocol: Protocol) -> Roles:
    """Apply the protocol's splits to the splits that the shards have; see the description of the module.

    Raises:
        InputError: the shards have no sequence to train on, or no evaluation split.
    """
    names = shards.index[protocol.split_column].unique()
    present = {str(name) for name in names if len(split_rows(shards, protocol, (str(name),)))}
    train_on = tuple(name for name in protocol.train_on if name in present)
    report = next((name for name in (protocol.report_on, "test", "valid") if name in present), None)
    if not train_on or report is None:
        raise InputError(
            f"{shards.location}: training needs a train split and a valid or test split with at least one frame each; "
            f"it has {', '.join(sorted(present)) or 'none'}; prepare more data"
        )
    fit = split_rows(shards, protocol, train_on)
    intended = report == protocol.report_on
    if intended and protocol.select_on in present:
        rule = f"fit on {' + '.join(train_on)}, checkpoint by {protocol.select_on}, report {report}"
        return Roles(fit, split_rows(shards, protocol, (protocol.select_on,)), report, rule)
    groups = shards.index["group"].to_numpy()[fit]
    held = np.isin(groups, list(hold_out(groups.tolist(), _HELD_OUT_FRACTION)))
    if held.all() or not held.any():
        raise InputError(
            f"{shards.location}: no validation split, and too few speakers or pages in train to hold one out; "
            "prepare more data"
        )
    rule = f"fit on 0.9 of {' + '.join(train_on)}, checkpoint by 0.1 of it held out by group, report {report}"
    return Roles(fit[~held], fit[held], report, rule)
