"""The verbs that look at, check and pass on what `prepare` wrote."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from benchmarks.cli.arguments import Argument, Json
from benchmarks.cli.output import progress_bar, say, show, summary_table, write_json
from benchmarks.errors import FailedError

if TYPE_CHECKING:
    from pipelines.shards.read import ShardSet

__all__ = ["export", "inspect", "verify"]

FormatName = Annotated[
    Literal["lhotse", "hf-audio", "webdataset"],
    tyro.conf.arg(name="format", help="lhotse, hf-audio (sound only) or webdataset."),
]


def inspect(
    shards: Argument[str],
    verify: bool = True,
    speakers: Path | None = None,
    plots: Path | None = None,
    html: Path | None = None,
    json_: Json = False,
) -> None:
    """Summarise a set of shards: counts, hours or points, lengths, moments, speakers, rejects.

    Args:
        shards: what prepare wrote.
        verify: check every shard's checksum first.
        speakers: write a CSV file with a row for every speaker and split; the 20 longest are shown.
        plots: write pictures of lengths and of loudness (for pen, speed) into this directory, as SVG and PNG.
        html: write the corpus report to this file: one page that opens offline, with a few sequences of the corpus.
        json_: print one JSON object on stdout.
    """
    from benchmarks.cli.shard_tables import MOST_SPEAKERS, reject_table, speaker_table
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

        say(", ".join(str(path) for path in write_plots(opened, plots)))
    if html:
        _write_report(opened, html)
    if json_:
        longest = by_speaker.head(MOST_SPEAKERS).to_dict("records")
        examples = dict(zip(rejects["code"], rejects["message"], strict=True))
        write_json(summary | {"by_speaker": longest, "reject_examples": examples})
        return
    show(summary_table(summary))
    show(speaker_table(by_speaker, opened.manifest.sample_rate))
    if len(rejects):
        show(reject_table(rejects))


def _write_report(shards: "ShardSet", out: Path) -> None:
    from benchmarks.samples.excerpts import excerpts
    from dashboards.corpus.corpus_page import write_corpus_report
    from dashboards.report.study_record import Sample
    from pipelines.shards.summary import describe

    samples = [Sample(one.file, one.kind, "real", one.caption, one.content) for one in excerpts(shards)]
    write_corpus_report(describe(shards), out, samples)
    say(f"{out}: written")


def verify(shards: Argument[str], json_: Json = False) -> None:
    """Check a set of shards against itself: every signal, row, count, moment and checksum, recomputed.

    Args:
        shards: what prepare wrote.
        json_: print one JSON object on stdout.
    """
    from benchmarks.cli.shard_tables import print_lines
    from pipelines.runtime.storage import Location
    from pipelines.shards.verify import verify_shards

    with progress_bar(f"verify {shards}") as on_progress:
        found = verify_shards(Location(shards), on_progress=on_progress)
    facts = {"shards": found.shards, "sequences": found.sequences}
    if json_:
        write_json({"ok": found.ok} | facts | {"problems": found.problems, "further_problems": found.further})
    else:
        print_lines(found.problems)
    if not found.ok:
        unlisted = f", {found.further} of them not listed" if found.further else ""
        raise FailedError(
            f"{shards}: {len(found.problems) + found.further} problems{unlisted}; "
            "run prepare again into a new directory, or fetch an intact copy"
        )
    say(f"{shards}: {found.shards} shards, {found.sequences:,} sequences: all as stated")


def export(shards: Argument[str], out: str, format_: FormatName, split: str | None = None, json_: Json = False) -> None:
    """Write shards in a form that other tools read, every sample bit for bit.

    Args:
        shards: what prepare wrote.
        out: an empty or new directory or object-store URI, or an earlier export of the same shards.
        format_: lhotse, hf-audio (sound only) or webdataset.
        split: this one only; all by default.
        json_: print one JSON object on stdout.
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
        write_json({"format": format_, "out": out, "fingerprint": opened.manifest.fingerprint, "splits": splits})
    else:
        show(export_table(splits, f"{out}: {format_}"))
