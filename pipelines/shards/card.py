"""The dataset card: the `README.md` of a set of shards, for people and for the Hugging Face libraries.

Its front matter names the shards of each split, so that `datasets.load_dataset(DIR)` reads the shards alone, and not
the index or the rejects. It holds no times, so the same shards have the same card.
"""

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.shards.columns import signal_columns
from pipelines.shards.manifest import Manifest, SplitEntry

__all__ = ["CARD_NAME", "dataset_card"]

CARD_NAME = "README.md"
_LICENCES = {
    "CC0 1.0": "cc0-1.0",
    "CC BY 4.0": "cc-by-4.0",
    "CC BY-SA 4.0": "cc-by-sa-4.0",
    "CC BY-NC 4.0": "cc-by-nc-4.0",
    "CC BY-NC-ND 4.0": "cc-by-nc-nd-4.0",
    "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0",
    "CC BY-NC-SA 2.0": "cc-by-nc-sa-2.0",
    "Apache-2.0": "apache-2.0",
    "MIT": "mit",
}
"""Hugging Face's identifiers of licences; any other licence is `other`, with its own name."""
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_TAGS = {"speech": ("audio", "speech"), "pen": ("handwriting", "time-series")}


def dataset_card(manifest: Manifest) -> str:
    """The card of the shards that `manifest` describes; a function of the manifest alone."""
    filled = {name: split for name, split in manifest.splits.items() if split.sequences}
    files = [shard.file for split in manifest.splits.values() for shard in split.shards]
    sequences = sum(split.sequences for split in filled.values())
    signal = "pen: integer coordinates (y downward), last points of strokes, times in hundredths of a second"
    if manifest.kind == "speech":
        signal = f"sound: 16-bit samples at {manifest.sample_rate} Hz, one channel"
    environment = Environment(
        loader=PackageLoader("pipelines.shards", ""),
        autoescape=False,  # noqa: S701 - the card is Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return environment.get_template("card.md.j2").render(
        manifest=manifest,
        title=f"{manifest.corpus}, prepared by vrnn-bench",
        licence_id=_LICENCES.get(manifest.licence, "other"),
        tags=[*_TAGS[manifest.kind], "vrnn-bench"],
        size_category=next((name for limit, name in _SIZES if sequences < limit), "10M<n<100M"),
        data_files={name: _pattern(name, split) for name, split in filled.items()},
        signal=signal,
        rate=manifest.sample_rate,
        length_unit="samples" if manifest.kind == "speech" else "points",
        options=_listed(manifest.options),
        software=_listed(manifest.software),
        columns=signal_columns(manifest.kind),
        example=files[0] if files else "train-00000-of-00001.parquet",
        glob=_pattern(*next(iter(filled.items()))) if filled else "*-of-*.parquet",
        split_key=f'["{next(iter(filled))}"]' if filled else "",
    )


def _pattern(name: str, split: SplitEntry) -> str:
    """A glob that matches the shards of this split, and no other Parquet file."""
    return f"{name}-*-of-{len(split.shards):05d}.parquet"


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"
