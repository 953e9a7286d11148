"""The verbs for prepared shards: inspect, verify, export."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from benchmarks.cli.arguments import Json, Name, PathOrNone, Place, Shards
from benchmarks.cli.output import print_json, print_message, print_table, progress_bar
from benchmarks.errors import FailedError

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.shards.read import ShardSet

__all__ = ["export", "inspect", "verify"]

FormatName = Annotated[
    Literal["lhotse", "hf-audio", "webdataset"],
    tyro.conf.arg(name="format", help="Format of the export; lhotse and hf-audio take speech only."),
]


def inspect(
    shards: Shards,
    verify: bool = True,
    speakers: PathOrNone = None,
    plots: PathOrNone = None,
    html: PathOrNone = None,
    json_: Json = False,
) -> None:
    """Summarise shards: counts, hours or points, lengths, mean and standard deviation, speakers, rejects.

    Args:
        shards: Directory or URI that prepare wrote.
        verify: Check the checksum of every shard first.
        speakers: Write a CSV file with one row per speaker and split. The table shows the 20 longest.
        plots: Write charts of lengths and loudness (of pen speed for handwriting) to this directory, as SVG and PNG.
        html: Write the corpus report to this file: one page that opens offline, with a few of the sequences.
        json_: Print one JSON object on stdout.
    """
    from benchmarks.cli.shard_tables import MOST_SPEAKERS, reject_table, speaker_table, summary_table
    from pipelines.runtime.storage import Location
    from pipelines.shards.read import ShardSet
    from pipelines.shards.summary import rejects_by_code, speakers_by_length, summarise

    opened = ShardSet(Location(shards))
    if verify:
        opened.verify()
    summary, by_speaker, rejects = summarise(opened), speakers_by_length(opened), rejects_by_code(opened)
    if speakers:
        speakers.parent.mkdir(parents=True, exist_ok=True)
        by_speaker.to_csv(speakers, index=False)
    if plots:
        from pipelines.shards.plots import write_plots

        print_message(f"written: {', '.join(map(str, write_plots(opened, plots)))}")
    if html:
        _write_report(opened, html)
    if json_:
        longest = by_speaker.head(MOST_SPEAKERS).to_dict("records")
        examples = dict(zip(rejects["code"], rejects["message"], strict=True))
        print_json(summary | {"by_speaker": longest, "reject_examples": examples})
        return
    print_table(summary_table(summary))
    print_table(speaker_table(by_speaker, opened.manifest.sample_rate))
    if len(rejects):
        print_table(reject_table(rejects))


def _write_report(shards: "ShardSet", out: "Path") -> None:
    from benchmarks.samples.excerpts import excerpts
    from benchmarks.schema.corpus import CorpusDescription
    from dashboards.corpus.corpus_page import write_corpus_report
    from dashboards.media.players import Sample
    from pipelines.shards.summary import describe

    samples = [Sample(one.file, one.kind, "real", one.caption, one.content) for one in excerpts(shards)]
    write_corpus_report(CorpusDescription.model_validate(describe(shards)), out, samples)
    print_message(f"written: {out}")


def verify(shards: Shards, json_: Json = False) -> None:
    """Check shards for damage: recompute every checksum, count, mean and standard deviation, and check every signal.

    Args:
        shards: Directory or URI that prepare wrote.
        json_: Print one JSON object on stdout.
    """
    from pipelines.runtime.storage import Location
    from pipelines.shards.verify import verify_shards

    with progress_bar(f"verify {shards}") as on_progress:
        found = verify_shards(Location(shards), on_progress=on_progress)
    facts = {"shards": found.shards, "sequences": found.sequences}
    if json_:
        print_json({"ok": found.ok} | facts | {"problems": found.problems, "further_problems": found.further})
    else:
        # One unwrapped line per problem, so that grep finds them.
        sys.stdout.writelines(f"{problem}\n" for problem in found.problems)
    if not found.ok:
        unlisted = f" ({found.further} of them not listed)" if found.further else ""
        raise FailedError(
            f"{shards}: {len(found.problems) + found.further} problems{unlisted}; "
            "run prepare again into a new directory, or copy the shards again"
        )
    print_message(f"{shards}: no problems in {found.shards} shards with {found.sequences:,} sequences")


def export(shards: Shards, out: Place, format_: FormatName, split: Name = None, json_: Json = False) -> None:
    """Convert shards to a format that other tools read, without loss.

    Args:
        shards: Directory or URI that prepare wrote.
        out: Directory or URI to write to: a new or empty one, or an earlier export of the same shards.
        format_: Format of the export.
        split: Export this split only; all by default.
        json_: Print one JSON object on stdout.
    """
    from benchmarks.cli.shard_tables import export_table
    from pipelines.export import export as run_export
    from pipelines.runtime.storage import Location
    from pipelines.shards.read import ShardSet

    opened = ShardSet(Location(shards))
    with progress_bar(f"export {format_}") as on_progress:
        done = run_export(opened, format_, Location(out), split, on_progress=on_progress)
    splits = {name: asdict(result) for name, result in done.items()}
    if json_:
        print_json({"format": format_, "out": out, "fingerprint": opened.manifest.fingerprint, "splits": splits})
    else:
        print_table(export_table(splits, f"{out}: {format_}"))
