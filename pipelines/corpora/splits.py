"""Splits for corpora, or parts of corpora, without an official split.

Whole groups (speakers, pages) are assigned, so that no voice or hand is in two splits. The order of the groups depends
on a hash of each name and the seed. It is the same on every machine, and a missing group changes the places of others
only as far as the counts demand.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipelines.corpora.base import Listing, MissingItem, SourceItem, Split

__all__ = ["hashed_order", "hold_out", "split_three_ways", "three_way_splits"]


def hashed_order(groups: Iterable[str], seed: int) -> list[str]:
    """The distinct groups in a seeded order that does not depend on their given order."""
    return sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}\0{group}".encode()).digest())


def hold_out(groups: Iterable[str], fraction: float, seed: int = 0) -> frozenset[str]:
    """A `fraction` of the groups: at least one, and never all of two or more."""
    order = hashed_order(groups, seed)
    count = min(max(1, round(fraction * len(order))), max(len(order) - 1, 0))
    return frozenset(order[:count])


def three_way_splits(groups: Iterable[str], seed: int = 0) -> dict[str, Split]:
    """Map each group to `train`, `valid` or `test`, 0.9 / 0.05 / 0.05, with at least one group in each.

    With one group there is only `train`; with two groups, `train` and `test`.
    """
    names = set(groups)
    test = hold_out(names, 0.05, seed)
    valid = hold_out(names - test, 0.05 / 0.95, seed) if len(names) > 2 else frozenset()
    return {name: "test" if name in test else "valid" if name in valid else "train" for name in names}


def split_three_ways(
    items: Iterable[SourceItem], group_name: str, missing: Sequence[MissingItem] = (), seed: int = 0
) -> Listing:
    """The listing of a corpus without an official split, ordered by id.

    Both splits are 0.9 / 0.05 / 0.05: `split` is by group, so that no voice or hand is in two splits, and
    `split_by_sequence` is by sequence, as the paper made it.

    Args:
        items: the items; their splits are replaced.
        group_name: the noun for a group: `speaker`, `chapter`.
        missing: the missing items of the listing.
        seed: the seed of the hash.
    """
    ordered = sorted(items, key=lambda item: item.id)
    by_group = three_way_splits((item.group for item in ordered), seed)
    by_sequence = three_way_splits((item.id for item in ordered), seed)
    assigned = [replace(item, split=by_group[item.group], split_by_sequence=by_sequence[item.id]) for item in ordered]
    rule = f"no official split: 0.9 / 0.05 / 0.05 by {group_name} (paper: by sequence), by a hash, seed {seed}"
    return Listing(assigned, rule, missing)
