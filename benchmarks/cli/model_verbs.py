"""The verbs that train, score and sample one model."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from benchmarks.cli.arguments import Argument, Json, at_least, flags_of
from benchmarks.cli.interruption import failing, stopping
from benchmarks.cli.output import say, score_table, show, write_json
from benchmarks.errors import FailedError, StoppedError

if TYPE_CHECKING:
    from benchmarks.scoring.score import ScoreRequest
    from vrnn.training import Checkpoint, Optimisation, TrainResult
    from vrnn.training.checkpoints import EpochRecord
    from vrnn.training.resources import Resources

__all__ = ["generate", "score", "train"]


def _optimisation() -> "type[Optimisation]":
    from vrnn.training import Optimisation

    return Optimisation


def _resources() -> "type[Resources]":
    from vrnn.training.resources import Resources

    return Resources


_Optimisation = Annotated[Any, flags_of(_optimisation)]
_Resources = Annotated[Any, flags_of(_resources)]


def train(
    shards: str,
    model: str,
    out: str,
    optimisation: _Optimisation,
    resources: _Resources,
    protocol: str = "clean",
    size: str = "small",
    seed: int = 0,
    address: str | None = None,
    save_seconds: float = 600.0,
    keep: int = 2,
    print_spec: bool = False,
    json_: Json = False,
) -> None:
    """Train a model on shards through Ray Train; started again, it goes on where it stopped.

    Args:
        shards: what prepare wrote.
        model: a family and an emission, such as rnn-gmm or vrnn-gauss; a wrong name lists all.
        out: where best.pt, last.pt, last-1.pt and so on go.
        optimisation: how the model is fitted; docs/training.md has the formulas.
        resources: what the run takes; docs/cluster.md.
        protocol: clean or paper.
        size: tiny, small, or a paper- size of the data's kind.
        seed: of initialisation, batches and noise.
        address: of a Ray cluster.
        save_seconds: after which a checkpoint is written within an epoch.
        keep: how many of the last checkpoints are kept beside the best.
        print_spec: print the trial's spec, for python -m vrnn.training, and do nothing else.
        json_: print one JSON object on stdout.
    """
    from pipelines.runtime.locks import exclusive
    from pipelines.runtime.storage import Location
    from vrnn.device.device import computing_device, describe_path
    from vrnn.device.memory import keep_freed_memory
    from vrnn.training.checkpointing import Saving
    from vrnn.training.ray_train import train_with_ray
    from vrnn.training.trial_plan import plan_trial

    spec = plan_trial(shards, protocol, model, size, optimisation, at_least(0, "--seed", seed))
    if print_spec:
        write_json(spec.model_dump())
        return
    keep_freed_memory()
    if not resources.most_workers:
        path = describe_path(computing_device(), optimisation.precision)
        say("time loop: " + ", ".join(f"{part} {way}" for part, way in path.items()))
    saving, directory = Saving(save_seconds, keep), Location(out)
    with failing(), exclusive(directory), stopping("saving the run") as stop:
        result = train_with_ray(
            spec, directory, resources, address=address, on_epoch=_say_epoch, saving=saving, stop=stop
        )
    if not result.state.finished:
        raise StoppedError(stop.signal, f"{out}: stopped at step {result.state.step}")
    if result.state.diverged_at_step is not None:
        raise FailedError(
            f"{out}: diverged at step {result.state.diverged_at_step}: bound or gradient was not finite; "
            "lower --learning-rate or --clip-norm and choose another --out"
        )
    _tell_trained(result, spec.key, as_json=json_)


def _tell_trained(result: "TrainResult", key: str, *, as_json: bool) -> None:
    state = result.state
    if not as_json:
        say(f"{result.checkpoint}: best of {state.epoch} epochs, {state.best_valid:.3f} nats per validation frame")
        return
    write_json(
        {
            "checkpoint": str(result.checkpoint),
            "epochs": state.epoch,
            "steps": state.step,
            "valid_nats_per_frame": state.best_valid,
            "best_epoch": state.best_epoch,
            "trial_key": key,
        }
    )


def _say_epoch(record: "EpochRecord") -> None:
    say(
        f"epoch {record.epoch}: train {record.train_nats_per_frame:.3f}, valid {record.valid_nats_per_frame:.3f} "
        f"nats per frame, {record.frames_per_second:,.0f} frames/s"
        + (f", {record.skipped_steps} steps left out" if record.skipped_steps else "")
    )


def score(
    checkpoint: Argument[str],
    shards: str,
    split: str = "test",
    estimator: Literal["exact", "elbo", "iwae", "fivo"] | None = None,
    num_samples: int | None = None,
    repeats: int = 2,
    batch_size: int = 32,
    seed: int = 0,
    precision: Literal["float32", "tf32", "bfloat16", "float64"] = "float32",
    out: Path | None = None,
    json_: Json = False,
) -> None:
    """Score every sequence of a split under a trained model.

    Args:
        checkpoint: a checkpoint file, or the directory that train wrote.
        shards: the data that the model was trained on.
        split: train, valid, valid2 or test.
        estimator: exact for models without a latent (their default); elbo (the default), iwae or fivo for the others.
        num_samples: K of iwae and fivo, 40 by default.
        repeats: independent repetitions of a bound; their mean is the score, their spread its Monte Carlo error.
        batch_size: sequences at once; it changes no score.
        seed: of the latent noise.
        precision: of the model's arithmetic; docs/performance.md has what bfloat16 costs and gains.
        out: also write the per-sequence scores to this Parquet file.
        json_: print one JSON object on stdout.
    """
    from benchmarks.scoring.score import ScoreRequest, summarise_scores
    from benchmarks.scoring.score import score as run_score
    from pipelines.runtime.storage import Location
    from pipelines.shards.read import ShardSet
    from vrnn.device.memory import keep_freed_memory
    from vrnn.training import load_checkpoint

    keep_freed_memory()
    loaded = load_checkpoint(Location(checkpoint))
    chosen = estimator or ("elbo" if loaded.spec.architecture.latent else "exact")
    samples = num_samples if num_samples is not None else (40 if chosen in ("iwae", "fivo") else 1)
    request = ScoreRequest(split, chosen, samples, batch_size, seed, precision, repeats)
    table = run_score(loaded, ShardSet(Location(shards)), request)
    if out is not None:
        table.to_parquet(out, index=False)
    _tell_score(loaded, request, asdict(summarise_scores(table, loaded)), as_json=json_)


def _tell_score(checkpoint: "Checkpoint", request: "ScoreRequest", summary: dict[str, Any], *, as_json: bool) -> None:
    told = {
        "estimator": request.estimator,
        "num_samples": request.num_samples,
        "repeats": request.repeats,
        "split": request.split,
        **summary,
        "fingerprint": checkpoint.spec.fingerprint,
        "model": checkpoint.spec.architecture.name,
        "protocol": checkpoint.framing.protocol.name,
    }
    if as_json:
        write_json(told)
    else:
        show(score_table(told))


def generate(
    checkpoint: Argument[str],
    out: str,
    mode: Literal["prior", "continuation", "reconstruction"] = "prior",
    shards: str | None = None,
    split: str | None = None,
    count: int = 4,
    frames: int | None = None,
    prime_frames: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    json_: Json = False,
) -> None:
    """Write what a trained model makes, as WAV, or as SVG, PNG and strokes, beside the real sequences it comes from.

    Args:
        checkpoint: a checkpoint file, or the directory that train wrote.
        out: the directory to write to.
        mode: from nothing, from the beginning of real sequences, or what the model expects in real sequences.
        shards: the data that the model was trained on; needed unless mode is prior.
        split: that real sequences are taken from; the one that the trial reports by default.
        count: how many.
        frames: how many are drawn, in frames of 200 samples or pen points; of a reconstruction, how many are kept.
        prime_frames: how many real ones a continuation begins with.
        temperature: below 1 narrows what a frame is drawn from; docs/generation.md says how.
        seed: of the noise and of the choice of real sequences; the same seed gives the same files.
        json_: print one JSON object on stdout.
    """
    from benchmarks.samples.write_samples import LISTING, GenerateRequest
    from benchmarks.samples.write_samples import generate as run_generate
    from pipelines.runtime.storage import Location
    from pipelines.shards.read import ShardSet
    from vrnn.training import load_checkpoint

    loaded = load_checkpoint(Location(checkpoint))
    request = GenerateRequest(mode, count, frames, prime_frames, temperature, split, seed)
    entries = run_generate(loaded, ShardSet(Location(shards)) if shards else None, Location(out), request)
    if json_:
        name = loaded.spec.architecture.name
        write_json({"out": out, "mode": mode, "model": name, "seed": seed, "samples": entries})
        return
    for entry in entries:
        say(f"{entry['file']}: {entry['role']}, {entry['caption']}")
    say(f"{out}: {len(entries)} samples, listed in {LISTING}")
