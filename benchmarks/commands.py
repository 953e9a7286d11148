"""The verbs of `vrnn-bench`, one function each; the command line is derived from their signatures.

Heavy libraries are imported where they are used: `vrnn-bench --help` should not wait for torch, Ray and MLflow.
"""

import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from benchmarks.errors import FailedError
from benchmarks.output import comparison_table, progress_bar, say, score_table, show, summary_table, write_json

if TYPE_CHECKING:
    from benchmarks.study import Comparison
    from vrnn.training.checkpoints import EpochRecord

__all__ = ["COMMANDS"]

Argument = tyro.conf.Positional
Json = Annotated[bool, tyro.conf.arg(name="json", help="Print one JSON object on stdout.")]
Workers = Annotated[int | None, tyro.conf.arg(metavar="N")]


def prepare(
    corpus: Argument[str],
    raw: str,
    out: str,
    workers: Workers = None,
    address: str | None = None,
    include_sa: bool = False,
    max_rejects: int | None = None,
    json_: Json = False,
) -> None:
    """Turn a raw corpus into verified Parquet shards.

    Args:
        corpus: timit or iam_ondb.
        raw: where the raw corpus lies: a directory or an object-store URI.
        out: where the shards go; a second run does only what is missing or changed.
        workers: shards worked on at once; the number of cores by default. It changes no byte of the result.
        address: of a Ray cluster; by default Ray runs on this machine.
        include_sa: TIMIT only: keep the SA sentences, the same two for every speaker.
        max_rejects: fail if more source files than this cannot be used; they are listed in rejects.parquet.
        json_: print one JSON object on stdout.
    """
    from pipelines.cluster import run_on_ray
    from pipelines.corpora import find_corpus
    from pipelines.errors import InputError
    from pipelines.prepare import PrepareOptions, TooManyRejectsError
    from pipelines.prepare import prepare as run_prepare
    from pipelines.shard_set import ShardSet
    from pipelines.storage import Location
    from pipelines.summary import summarise

    options: dict[str, bool | int] = {"include_sa": True} if include_sa else {}
    if options.keys() - find_corpus(corpus).options.keys():
        raise InputError(f"{corpus} has no SA sentences; leave out --include-sa")
    plan = PrepareOptions(workers=workers or os.cpu_count() or 1, corpus_options=options, max_rejects=max_rejects)
    run_tasks = partial(run_on_ray, address=address)
    try:
        with progress_bar(f"prepare {corpus}") as on_progress:
            done = run_prepare(corpus, Location(raw), Location(out), plan, run_tasks=run_tasks, on_progress=on_progress)
    except TooManyRejectsError as error:
        raise FailedError(str(error)) from error
    rejected = sum(done.manifest.rejects.values())
    say(f"{out}: {_what_was_done(done.written, done.skipped)}; {rejected} source items rejected")
    summary = summarise(ShardSet(Location(out)))
    if json_:
        write_json(summary | {"shards_written": done.written, "shards_skipped": done.skipped})
    else:
        show(summary_table(summary))


def _what_was_done(written: int, skipped: int) -> str:
    if not written:
        return f"nothing to do, all {skipped} shards are up to date"
    return f"{written} shards written" + (f", {skipped} were up to date" if skipped else "")


def inspect(shards: Argument[str], verify: bool = True, json_: Json = False) -> None:
    """Summarise a set of shards: counts, hours or points, lengths, moments, rejects.

    Args:
        shards: what prepare wrote.
        verify: check every shard's checksum first.
        json_: print one JSON object on stdout.
    """
    from pipelines.shard_set import ShardSet
    from pipelines.storage import Location
    from pipelines.summary import summarise

    opened = ShardSet(Location(shards))
    if verify:
        opened.verify()
    summary = summarise(opened)
    if json_:
        write_json(summary)
    else:
        show(summary_table(summary))


def synthesise(what: Argument[Literal["speech", "handwriting"]], out: Path, seed: int = 0) -> None:
    """Write a built-in corpus in a genuine raw layout: speech as TIMIT, handwriting as IAM-OnDB.

    Args:
        what: speech (espeak-ng voices) or handwriting (stroke fonts and a model of the pen).
        out: the raw directory to write; prepare reads it as timit or iam_ondb.
        seed: the same seed gives the same bytes.
    """
    from pipelines.synthesis import synthesise_handwriting, synthesise_speech

    make = synthesise_speech if what == "speech" else synthesise_handwriting
    with progress_bar(f"synthesise {what}") as on_progress:
        count = make(out, seed=seed, on_progress=on_progress)
    say(f"{out}: {count} {'utterances' if what == 'speech' else 'lines'}")


def train(
    shards: str,
    model: str,
    out: str,
    protocol: str = "clean",
    size: str = "small",
    seed: int = 0,
    max_epochs: int = 20,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    clip_norm: float = 5.0,
    patience: int = 5,
    precision: Literal["float32", "float64"] = "float32",
    workers: int = 0,
    address: str | None = None,
    print_spec: bool = False,
    json_: Json = False,
) -> None:
    """Train a model on shards through Ray Train; started again, it goes on where it stopped.

    Args:
        shards: what prepare wrote.
        model: rnn-gauss, rnn-gmm, vrnn-gauss or vrnn-gmm.
        out: where best.pt and last.pt go.
        protocol: clean or paper.
        size: tiny, small, or a paper- size of the data's kind.
        seed: of initialisation, batches and noise.
        max_epochs: at most this many passes over the data.
        batch_size: sequences in a global batch, over all workers.
        learning_rate: of Adam.
        clip_norm: gradients are scaled down to this norm before the step.
        patience: epochs without a better validation figure after which training ends.
        precision: of parameters and arithmetic.
        workers: processes that share each batch; 0 trains in this process.
        address: of a Ray cluster.
        print_spec: print the trial's spec, for python -m vrnn.training, and do nothing else.
        json_: print one JSON object on stdout.
    """
    from pipelines.manifest import Manifest
    from pipelines.protocol import find_protocol
    from pipelines.storage import Location
    from vrnn.models import preset
    from vrnn.training import Optimisation, TrialSpec
    from vrnn.training.ray_driver import train_with_ray

    manifest = Manifest.load(Location(shards))
    spec = TrialSpec(
        shards=shards,
        fingerprint=manifest.fingerprint,
        protocol=find_protocol(protocol, manifest.kind),
        model=preset(model, manifest.kind, size).to_dict(),
        optimisation=Optimisation(
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            clip_norm=clip_norm,
            patience=patience,
            precision=precision,
        ),
        seed=seed,
    )
    if print_spec:
        write_json(spec.model_dump())
        return
    result = train_with_ray(spec, Location(out), workers=workers, address=address, on_epoch=_say_epoch)
    state = result.state
    if state.diverged_at_step is not None:
        raise FailedError(
            f"{out}: diverged at step {state.diverged_at_step}: loss or gradient was not finite; "
            "lower --learning-rate or --clip-norm and choose another --out"
        )
    summary = {
        "checkpoint": str(result.checkpoint),
        "epochs": state.epoch,
        "steps": state.step,
        "valid_nats_per_frame": state.best_valid,
        "best_epoch": state.best_epoch,
        "trial_key": spec.key,
    }
    if json_:
        write_json(summary)
    else:
        say(f"{result.checkpoint}: best of {state.epoch} epochs, {state.best_valid:.3f} nats per validation frame")


def _say_epoch(record: "EpochRecord") -> None:
    say(
        f"epoch {record.epoch}: train {record.train_nats_per_frame:.3f}, valid {record.valid_nats_per_frame:.3f} "
        f"nats per frame, {record.frames_per_second:,.0f} frames/s"
    )


def score(
    checkpoint: Argument[str],
    shards: str,
    split: str = "test",
    estimator: Literal["exact", "elbo", "iwae"] | None = None,
    num_samples: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    precision: Literal["float32", "float64"] = "float32",
    out: Path | None = None,
    json_: Json = False,
) -> None:
    """Score every sequence of a split under a trained model.

    Args:
        checkpoint: a checkpoint file, or the directory that train wrote.
        shards: the data that the model was trained on.
        split: train, valid, valid2 or test.
        estimator: exact for models without a latent (their default); elbo or iwae for the others (elbo by default).
        num_samples: K of iwae, 40 by default.
        batch_size: sequences at once; it changes no score.
        seed: of the latent noise.
        precision: of the model's arithmetic.
        out: also write the per-sequence scores to this Parquet file.
        json_: print one JSON object on stdout.
    """
    from benchmarks.scoring import ScoreRequest, summarise_scores
    from benchmarks.scoring import score as run_score
    from pipelines.shard_set import ShardSet
    from pipelines.storage import Location
    from vrnn.training import load_checkpoint

    loaded = load_checkpoint(Location(checkpoint))
    chosen = estimator or ("elbo" if loaded.spec.architecture.latent else "exact")
    samples = num_samples if num_samples is not None else (40 if chosen == "iwae" else 1)
    request = ScoreRequest(split, chosen, samples, batch_size, seed, precision)
    table = run_score(loaded, ShardSet(Location(shards)), request)
    if out is not None:
        table.to_parquet(out, index=False)
    summary = {
        "estimator": chosen,
        "num_samples": samples,
        "split": split,
        **asdict(summarise_scores(table, loaded)),
        "fingerprint": loaded.spec.fingerprint,
        "model": loaded.spec.architecture.name,
        "protocol": loaded.framing.protocol.name,
    }
    if json_:
        write_json(summary)
    else:
        show(score_table(summary))


def generate(checkpoint: Argument[str], out: Path, count: int = 4, frames: int | None = None, seed: int = 0) -> None:
    """Draw sequences from a trained model: FLAC files for speech, stroke lists (JSON) for pen.

    Args:
        checkpoint: a checkpoint file, or the directory that train wrote.
        out: the directory to write to.
        count: how many.
        frames: how long, in frames of 200 samples or pen points.
        seed: the same seed gives the same sequences.
    """
    from benchmarks.samples import write_samples
    from pipelines.storage import Location
    from vrnn.training import load_checkpoint

    write_samples(load_checkpoint(Location(checkpoint)), None, out, count=count, seed=seed, frames=frames)
    say(f"{out}: {count} samples")


def run(suite: Argument[Path], workers: int = 0, address: str | None = None, json_: Json = False) -> None:
    """Run a study: train, score and record every trial of a suite that is not yet recorded.

    Args:
        suite: a TOML file.
        workers: processes that share each batch of a trial; 0 trains in this process.
        address: of a Ray cluster.
        json_: print one JSON object on stdout.
    """
    from benchmarks.study import run_study
    from benchmarks.suite import load_suite
    from benchmarks.tracking import open_record
    from benchmarks.watching import TerminalWatcher

    loaded = load_suite(suite)
    comparison = run_study(loaded, open_record, workers=workers, address=address, watcher=TerminalWatcher())
    _print_comparison(comparison, as_json=json_)
    if comparison.diverged:
        first = comparison.diverged[0]
        raise FailedError(
            f"{len(comparison.diverged)} trials diverged, the first of them {first['corpus']}/{first['model']}/"
            f"seed{first['seed']} at step {first['step']}; lower its learning_rate in {suite}"
        )


def compare(study: Argument[str], json_: Json = False) -> None:
    """Print the table of a recorded study, computed anew from its per-sequence scores.

    Args:
        study: its name, as in the suite.
        json_: print one JSON object on stdout.
    """
    from benchmarks.study import compare_study

    _print_comparison(compare_study(study), as_json=json_)


def _print_comparison(comparison: "Comparison", *, as_json: bool) -> None:
    if as_json:
        write_json(comparison.to_json())
    else:
        show(comparison_table(comparison))


def report(study: Argument[str], out: Path) -> None:
    """Write a study's report: one HTML page that opens offline.

    Args:
        study: its name, as in the suite.
        out: the file to write.
    """
    from benchmarks.tracking import DEFAULT_STORE
    from dashboards.report import write_report

    write_report(study, out, os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_STORE))
    say(f"{out}: written")


COMMANDS: dict[str, Callable[..., None]] = {
    "prepare": prepare,
    "inspect": inspect,
    "synthesise": synthesise,
    "train": train,
    "score": score,
    "generate": generate,
    "run": run,
    "compare": compare,
    "report": report,
}
