"""The verbs for one model: train, score, generate."""

from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.table import Table

from benchmarks.cli.arguments import Checkpoint, Count, Json, Name, PathOrNone, Place, Uri, at_least, flags_of
from benchmarks.cli.interruption import report_failures, stop_on_signals
from benchmarks.cli.output import print_json, print_message, print_table
from benchmarks.errors import FailedError, StoppedError
from benchmarks.schema.estimators import ESTIMATORS, signed_estimator

if TYPE_CHECKING:
    from vrnn.training import TrainResult
    from vrnn.training.epoch_metrics import EpochRecord

__all__ = ["generate", "score", "train"]

_Optimisation = Annotated[Any, flags_of(lambda: import_module("vrnn.training").Optimisation)]
_Resources = Annotated[Any, flags_of(lambda: import_module("vrnn.training.resources").Resources)]


def train(
    shards: Place,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")],
    out: Place,
    optimisation: _Optimisation,
    resources: _Resources,
    protocol: str = "clean",
    size: str = "small",
    seed: int = 0,
    address: Uri = None,
    save_seconds: float = 600.0,
    keep: int = 2,
    print_spec: bool = False,
    json_: Json = False,
) -> None:
    """Train a model on shards, in this process or with Ray Train's workers. Run it again to resume a stopped run.

    Args:
        shards: Directory or URI that prepare wrote.
        model: A family and an output distribution, such as rnn-gmm or vrnn-gauss. An unknown name lists all.
        out: Directory or URI for the checkpoints best.pt, last.pt, last-1.pt and so on.
        optimisation: How the model is trained; docs/training.md has the formulas.
        resources: Processes, cores and GPUs of the run; see docs/cluster.md.
        protocol: clean or paper.
        size: tiny, small, or a paper- size for this kind of data, such as paper-timit.
        seed: Seed of initial weights, batches and noise.
        address: Address of a Ray cluster for the workers; by default they run on this machine.
        save_seconds: Seconds between checkpoints within an epoch.
        keep: Number of latest checkpoints to keep, in addition to the best.
        print_spec: Print the specification for python -m vrnn.training and exit.
        json_: Print one JSON object on stdout.
    """
    from pipelines.runtime.locks import lock_directory
    from pipelines.runtime.storage import Location
    from vrnn.device.device import computing_device, describe_path
    from vrnn.device.memory import keep_freed_memory
    from vrnn.training.checkpoints import CheckpointPolicy
    from vrnn.training.spec import plan_trial

    spec = plan_trial(shards, protocol, model, size, optimisation, at_least(0, "--seed", seed))
    if print_spec:
        print_json(spec.model_dump())
        return
    keep_freed_memory()
    if not resources.most_workers:
        path = describe_path(computing_device(), optimisation.precision)
        print_message("time loop: " + ", ".join(f"{part} {way}" for part, way in path.items()))
    directory, policy = Location(out), CheckpointPolicy(save_seconds, keep)
    with report_failures(), lock_directory(directory), stop_on_signals("saving the run") as stop:
        if resources.most_workers:
            from vrnn.training.ray_train import train_with_ray

            result = train_with_ray(
                spec, directory, resources, address=address, on_epoch=_print_epoch, policy=policy, stop=stop
            )
        else:
            from vrnn.training.retries import train_locally

            result = train_locally(spec, directory, resources, on_epoch=_print_epoch, policy=policy, stop=stop)
    if not result.state.finished:
        raise StoppedError(stop.signal, f"{out}: stopped at step {result.state.step}")
    if result.state.diverged_at_step is not None:
        raise FailedError(
            f"{out}: diverged at step {result.state.diverged_at_step}: the loss or its gradient was not finite; "
            "lower --learning-rate or --clip-norm and choose another --out"
        )
    _print_trained(result, spec.key, as_json=json_)


def _print_trained(result: "TrainResult", key: str, *, as_json: bool) -> None:
    state = result.state
    if not as_json:
        print_message(
            f"{result.checkpoint}: best of {state.epoch} epochs, {state.best_valid:.3f} nats per validation frame"
        )
        return
    print_json(
        {
            "checkpoint": str(result.checkpoint),
            "epochs": state.epoch,
            "steps": state.step,
            "valid_nats_per_frame": state.best_valid,
            "best_epoch": state.best_epoch,
            "trial_key": key,
        }
    )


def _print_epoch(record: "EpochRecord") -> None:
    print_message(
        f"epoch {record.epoch}: train {record.train_nats_per_frame:.3f}, valid {record.valid_nats_per_frame:.3f} "
        f"nats per frame, {record.frames_per_second:,.0f} frames/s"
        + (f", {record.skipped_steps} steps skipped" if record.skipped_steps else "")
    )


def score(
    checkpoint: Checkpoint,
    shards: Place,
    split: str = "test",
    estimator: Annotated[
        Literal["exact", "elbo", "iwae", "fivo"] | None,
        tyro.conf.arg(metavar="{exact,elbo,iwae,fivo}", help_behavior_hint="(optional)"),
    ] = None,
    num_samples: Count = None,
    repeats: int = 2,
    batch_size: int = 32,
    seed: int = 0,
    precision: Literal["float32", "tf32", "bfloat16", "float64"] = "float32",
    out: PathOrNone = None,
    json_: Json = False,
) -> None:
    """Compute the log-likelihood of every sequence of a split under a trained model.

    Args:
        checkpoint: Checkpoint file, or the directory that train wrote.
        shards: The data that the model was trained on.
        split: train, valid, valid2 or test.
        estimator: exact for models without a latent (their default); elbo, iwae or fivo for the others (default elbo).
        num_samples: K of iwae and fivo, 40 by default.
        repeats: Independent repetitions of a bound. Their mean is the score, their spread its Monte Carlo error.
        batch_size: Sequences per batch; scores do not depend on it.
        seed: Seed of the latent noise.
        precision: Arithmetic of the model; docs/performance.md says what bfloat16 costs and gains.
        out: Also write the score of every sequence to this Parquet file.
        json_: Print one JSON object on stdout.
    """
    from benchmarks.scoring.score import ScoreRequest, summarise_scores
    from benchmarks.scoring.score import score as run_score
    from pipelines.runtime.storage import Location
    from pipelines.shards.read import ShardSet
    from vrnn.device.memory import keep_freed_memory
    from vrnn.training import load_checkpoint

    keep_freed_memory()
    loaded = load_checkpoint(Location(checkpoint))
    chosen = estimator or ("elbo" if loaded.spec.model.latent else "exact")
    samples = num_samples if num_samples is not None else (40 if ESTIMATORS[chosen].sampled else 1)
    request = ScoreRequest(split, chosen, samples, batch_size, seed, precision, repeats)
    table = run_score(loaded, ShardSet(Location(shards)), request)
    if out is not None:
        table.to_parquet(out, index=False)
    summary = {
        "estimator": request.estimator,
        "num_samples": request.num_samples,
        "repeats": request.repeats,
        "split": request.split,
        **asdict(summarise_scores(table, loaded)),
        "fingerprint": loaded.spec.fingerprint,
        "model": loaded.spec.model.name,
        "protocol": loaded.framing.protocol.name,
    }
    if json_:
        print_json(summary)
    else:
        print_table(_score_table(summary))


def _score_table(summary: dict[str, Any]) -> Table:
    table = Table(title=f"{summary['model']} on {summary['split']}, protocol {summary['protocol']}", show_header=False)
    table.add_row("estimator", signed_estimator(summary["estimator"], summary["num_samples"]))
    table.add_row("sequences", f"{summary['sequences']:,} ({summary['frames']:,} frames)")
    error = f" ± {summary['monte_carlo_error']:.2f} (Monte Carlo)" if summary["monte_carlo_error"] > 0 else ""
    table.add_row(f"nats per sequence, {summary['measure']}", f"{summary['nats_per_sequence']:.2f}{error}")
    table.add_row("nats per frame", f"{summary['nats_per_frame']:.4f}")
    if summary["bits_per_sample"] is not None:
        table.add_row("bits per sample", f"{summary['bits_per_sample']:.4f}")
    return table


def generate(
    checkpoint: Checkpoint,
    out: Place,
    mode: Literal["prior", "continuation", "reconstruction"] = "prior",
    shards: Uri = None,
    split: Name = None,
    count: int = 4,
    frames: Count = None,
    prime_frames: Count = None,
    temperature: float = 1.0,
    seed: int = 0,
    json_: Json = False,
) -> None:
    """Generate speech (WAV) or handwriting (SVG, PNG, strokes) from a trained model, with real sequences to compare.

    Args:
        checkpoint: Checkpoint file, or the directory that train wrote.
        out: Directory or URI to write to.
        mode: prior samples from scratch, continuation extends the beginning of real sequences, and reconstruction
            computes what the model expects in real sequences.
        shards: The data that the model was trained on; required unless mode is prior.
        split: Split of the real sequences; by default the one that the trial reports.
        count: Number of sequences.
        frames: Frames (of 200 samples, or pen points) to generate, or to keep of each reconstruction.
        prime_frames: Frames of real data at the beginning of a continuation.
        temperature: Values below 1 narrow the distribution of each frame; see docs/generation.md.
        seed: Seed of the noise and of the choice of real sequences. The same seed writes the same files.
        json_: Print one JSON object on stdout.
    """
    from benchmarks.samples.write_samples import GenerateRequest
    from benchmarks.samples.write_samples import generate as run_generate
    from benchmarks.schema.samples import SampleList
    from pipelines.runtime.storage import Location
    from pipelines.shards.read import ShardSet
    from vrnn.training import load_checkpoint

    loaded = load_checkpoint(Location(checkpoint))
    request = GenerateRequest(mode, count, frames, prime_frames, temperature, split, seed)
    entries = run_generate(loaded, ShardSet(Location(shards)) if shards else None, Location(out), request)
    if json_:
        name = loaded.spec.model.name
        listed = [entry.model_dump(mode="json") for entry in entries]
        print_json({"out": out, "mode": mode, "model": name, "seed": seed, "samples": listed})
        return
    for entry in entries:
        print_message(f"{entry.file}: {entry.role}, {entry.caption}")
    print_message(f"{out}: {len(entries)} samples, listed in {SampleList.file_name}")
