"""Splits for corpora, or parts of corpora, that come without an official one.

Whole groups (speakers, pages) are assigned, never single sequences, so that no voice or hand is on both
sides. A group's place depends on its name and the seed alone, through a hash: the same on every machine,
and another group's absence does not reshuffle the rest more than the counts demand.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipelines.corpora.base import Listing, MissingItem, SourceItem, Split

__all__ = ["hashed_order", "hold_out", "split_three_ways", "three_way_splits"]


def hashed_order(groups: Iterable[str], seed: int) -> list[str]:
    """The distinct groups in a seeded order that does not depend on the order given."""
    return sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}\0{group}".encode()).digest())


def hold_out(groups: Iterable[str], fraction: float, seed: int = 0) -> frozenset[str]:
    """A `fraction` of the groups, at least one and never all where there are two or more."""
    order = hashed_order(groups, seed)
    count = min(max(1, round(fraction * len(order))), max(len(order) - 1, 0))
    return frozenset(order[:count])


def three_way_splits(groups: Iterable[str], seed: int = 0) -> dict[str, Split]:
    """Map each group to `train`, `valid` or `test`, 0.9 / 0.05 / 0.05, each of the last two at least one.

    With one group there is only `train`; with two, `train` and `test`.
    """
    names = set(groups)
    test = hold_out(names, 0.05, seed)
    valid = hold_out(names - test, 0.05 / 0.95, seed) if len(names) > 2 else frozenset()
    return {name: "test" if name in test else "valid" if name in valid else "train" for name in names}


def split_three_ways(
    items: Iterable[SourceItem], group_name: str, absent: Sequence[MissingItem] = (), seed: int = 0
) -> Listing:
    """The listing of a corpus without an official split, ordered by id.

    Both splits are 0.9 / 0.05 / 0.05: `split` by group, so that no voice or hand is on both sides, and
    `split_by_sequence` as the paper made it.

    Args:
        items: whose splits are to be set.
        group_name: what a group is, in words: `speaker`, `chapter`.
        absent: for the listing.
        seed: of the hash.
    """
    ordered = sorted(items, key=lambda item: item.id)
    by_group = three_way_splits((item.group for item in ordered), seed)
    by_sequence = three_way_splits((item.id for item in ordered), seed)
    placed = [replace(item, split=by_group[item.group], split_by_sequence=by_sequence[item.id]) for item in ordered]
    rule = f"no official split: 0.9 / 0.05 / 0.05 by {group_name} (paper: by sequence), by a hash, seed {seed}"
    return Listing(placed, rule, absent)
