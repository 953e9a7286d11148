from collections import Counter

import pytest

from pipelines.corpora import find_corpus
from pipelines.corpora.splits import hold_out, three_way_splits
from pipelines.errors import InputError


def test_an_unknown_corpus_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean timit"):
        find_corpus("tmit")


@pytest.mark.parametrize("count", [1, 2, 3, 10, 200])
def test_three_way_splits_take_whole_groups_and_do_not_depend_on_order(count: int) -> None:
    groups = [f"g{n}" for n in range(count)]
    places = three_way_splits(groups)
    assert places == three_way_splits(reversed(groups))
    counts = Counter(places.values())
    assert counts["train"] >= 1
    assert counts["test"] == (max(1, round(0.05 * count)) if count > 1 else 0)
    assert counts["valid"] == (max(1, round(0.05 * count)) if count > 2 else 0)


def test_another_seed_holds_out_other_groups() -> None:
    groups = [f"g{n}" for n in range(40)]
    assert hold_out(groups, 0.1, 0) != hold_out(groups, 0.1, 1)
