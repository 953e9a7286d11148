"""The plan of `prepare`: the source items cut into shard tasks.

The cut is a pure function of the list of items, by raw bytes, so the number of workers cannot change a byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.corpora import Corpus, Listing, Options
from pipelines.corpora.files import refuse_duplicates
from pipelines.errors import InputError
from pipelines.prepare.shard_task import ShardTask
from pipelines.prepare.source_rows import PART_SAMPLES
from pipelines.runtime.storage import Location
from pipelines.shards.write import groups_by_bytes

__all__ = ["SPLITS", "PrepareOptions", "plan_shards", "resolve_options"]

SPLITS = ("train", "valid", "valid2", "test")
_RECIPE_VERSION = 2


@dataclass(frozen=True)
class PrepareOptions:
    """How to prepare. `workers`, `max_rejects` and `source_seconds` do not change what is written of sound sources.

    Attributes:
        workers: how many shards are processed at once.
        corpus_options: values for the adapter's options; text is converted to the type of the option's default.
        shard_bytes: raw bytes at which a shard is cut.
        max_rejects: more rejects than this are an error; None allows any number.
        source_seconds: how long decoding one source may take; two seconds are added for each MiB.
    """

    workers: int = 1
    corpus_options: Options = field(default_factory=dict)
    shard_bytes: int = 64 * 2**20
    max_rejects: int | None = None
    source_seconds: float = 120.0


def resolve_options(corpus: Corpus, given: Options) -> dict[str, bool | int | str]:
    """All of the adapter's options: the given values, and the defaults of the others.

    Raises:
        InputError: the adapter has no such option, or the value has another type.
    """
    values = dict(corpus.options)
    for name, value in given.items():
        if name not in values:
            known = ", ".join(f"{key}={default}" for key, default in corpus.options.items()) or "none at all"
            raise InputError(f"{corpus.name} has no option {name!r}; leave it out (its options: {known})")
        values[name] = _converted(name, value, values[name])
    return values


def _converted(name: str, value: bool | int | str, default: bool | int | str) -> bool | int | str:
    if isinstance(value, type(default)):
        return value
    text = str(value).lower()
    if isinstance(default, bool):
        if text in {"true", "false"}:
            return text == "true"
        raise InputError(f"option {name} is true or false, not {value!r}")
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"option {name} is a whole number such as {default}, not {value!r}") from error


def plan_shards(
    corpus: Corpus, raw: Location, out: Location, listing: Listing, options: PrepareOptions
) -> list[ShardTask]:
    """Cut the items into shard tasks: a pure function of the listing and the options.

    Raises:
        InputError: two items have the same id.
    """
    refuse_duplicates(raw, listing.items, what="source", remedy="remove one of them")
    values, rate = resolve_options(corpus, options.corpus_options), corpus.sample_rate
    # Part of every task's key: a change here makes all shards be written again.
    recipe: Mapping[str, object] = {
        "version": _RECIPE_VERSION,
        "corpus": corpus.name,
        "options": values,
        "sample_rate": rate,
        "part_samples": PART_SAMPLES,
    }
    tasks: list[ShardTask] = []
    for split in SPLITS:
        items = (item for item in listing.items if item.split == split)
        groups = list(groups_by_bytes(items, lambda item: item.bytes, options.shard_bytes))
        for number, group in enumerate(groups):
            name = f"{split}-{number:05d}-of-{len(groups):05d}.parquet"
            seconds = options.source_seconds
            tasks.append(ShardTask(raw.uri, out.uri, name, corpus.kind, rate, recipe, tuple(group), values, seconds))
    return tasks
