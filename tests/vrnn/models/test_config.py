import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from tests.vrnn.cases import CASES, GRID, small_config
from vrnn.errors import ModelError
from vrnn.models import MODELS, SIZES, Kind, ModelConfig, build_model, preset
from vrnn.models.config import emission_of

PUBLISHED: dict[tuple[str, Kind, str], int] = {
    ("paper-blizzard", "speech", "vrnn-gauss"): 93_898_000,
    ("paper-blizzard", "speech", "vrnn-gmm"): 94_894_820,
    ("paper-blizzard", "speech", "rnn-gauss"): 84_342_800,
    ("paper-blizzard", "speech", "rnn-gmm"): 86_723_620,
    ("paper-iam_ondb", "pen", "vrnn-gauss"): 8_460_706,
    ("paper-iam_ondb", "pen", "vrnn-gmm"): 8_489_571,
    ("paper-iam_ondb", "pen", "rnn-gauss"): 7_808_546,
    ("paper-iam_ondb", "pen", "rnn-gmm"): 7_602_721,
}


def parameter_count(config: ModelConfig) -> int:
    with torch.device("meta"):
        model = build_model(config, torch.Generator())
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("case", "count"), PUBLISHED.items())
def test_parameter_counts_are_those_of_the_released_code(case: tuple[str, Kind, str], count: int):
    size, kind, name = case
    assert parameter_count(preset(name, kind, size)) == count


def test_the_timit_preset_has_the_papers_sizes():
    rnn, vrnn = preset("rnn-gauss", "speech", "paper-timit"), preset("vrnn-gauss", "speech", "paper-timit")
    assert (rnn.hidden, rnn.phi_x, rnn.decoder, rnn.depth, rnn.latent) == (2000, 600, 600, 4, 0)
    assert (vrnn.hidden, vrnn.encoder, vrnn.depth, vrnn.latent, vrnn.frame_size) == (2000, 500, 4, 200, 200)


@pytest.mark.parametrize("kind", ["speech", "pen"])
@pytest.mark.parametrize("emission", ["gauss", "gmm"])
def test_small_models_that_are_compared_have_the_same_number_of_parameters(kind: Kind, emission: str):
    rnn, vrnn = (parameter_count(preset(f"{family}-{emission}", kind, "small")) for family in ("rnn", "vrnn"))
    assert rnn == pytest.approx(vrnn, rel=0.05)


TABLE_1 = ("rnn-gauss", "rnn-gmm", "vrnn-i-gauss", "vrnn-gauss", "vrnn-gmm")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MODELS)
def test_every_preset_builds_a_model_of_its_name(name: str, size: str):
    kind: Kind = "pen" if size == "paper-iam_ondb" else "speech"
    if kind == "pen" and emission_of(name) not in ("gauss", "gmm"):
        with pytest.raises(ModelError, match="emission of speech"):
            preset(name, kind, size, GRID)
        return
    config = preset(name, kind, size, GRID)
    assert config.name == name
    few = size == "tiny"
    expected = {"gauss": 1, "gmm": 5 if few else 20, "dmol": 5 if few else 20}
    assert config.components == expected.get(config.emission, 2 if few else 5)
    assert bool(config.backward) == (name.endswith("+smoothing") or name.startswith("srnn"))
    assert parameter_count(config) > 0


@pytest.mark.parametrize("size", [size for size in SIZES if size.startswith("paper")])
def test_the_papers_five_rows_are_there_in_the_papers_sizes(size: str):
    kind: Kind = "pen" if size == "paper-iam_ondb" else "speech"
    counts = {name: parameter_count(preset(name, kind, size)) for name in TABLE_1}
    config = preset("vrnn-gauss", kind, size)
    prior = config.hidden * config.prior + (config.depth - 1) * config.prior**2 + config.depth * config.prior
    head = 2 * config.latent * (config.prior + 1)
    assert counts["vrnn-gauss"] - counts["vrnn-i-gauss"] == prior + head


def test_smoothing_adds_a_backward_lstm_and_its_share_of_the_encoder_alone():
    filtering, smoothing = (preset(f"vrnn-gauss{switch}", "speech", "small") for switch in ("", "+smoothing"))
    assert filtering == replace(smoothing, name="vrnn-gauss", backward=0)
    units = smoothing.backward
    added = 4 * units * (smoothing.phi_x + units + 1) + units * smoothing.encoder
    assert parameter_count(smoothing) - parameter_count(filtering) == added


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_configuration_survives_json(name: str, kind: Kind):
    config = small_config(name, kind)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hidden": -1}, "hidden"),
        ({"hidden": 2.0}, "hidden"),
        ({"depth": True}, "depth"),
        ({"latent": -1}, "latent"),
        ({"kind": "video"}, "kind"),
        ({"name": ""}, "name"),
        ({"frame_size": 4}, "frame_size"),
        ({"components": 2}, "components"),
        ({"name": "rnn-gmm"}, "components"),
        ({"sigma_floor": float("nan")}, "sigma_floor"),
        ({"sigma_floor": -1e-4}, "sigma_floor"),
        ({"widht": 3}, "widht"),
        ({"group": 2}, "group"),
        ({"name": "rnn-hier"}, "group"),
        ({"name": "rnn-dmol"}, "quantisation"),
        ({"quantisation": {"mean": 0.0, "std": 2.0}}, "quantisation"),
        ({"quantisation": {"mean": 0.0, "sdt": 2.0}}, "quantisation"),
        ({"quantisation": {"mean": 0.0, "std": -2.0}}, "std"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(change: dict[str, object], named: str):
    with pytest.raises(ModelError, match=named) as caught:
        ModelConfig.from_dict({**small_config("rnn-gauss", "pen").to_dict(), **change})
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named_and_the_floor_has_a_default():
    values = small_config("rnn-gauss", "pen").to_dict()
    del values["sigma_floor"]
    assert ModelConfig.from_dict(values).sigma_floor == 1e-4
    del values["decoder"]
    with pytest.raises(ModelError, match="missing key decoder"):
        ModelConfig.from_dict(values)


@pytest.mark.parametrize(
    ("typed", "meant"), [("VRNN-Gauss", "vrnn-gauss"), ("rnngmm", "rnn-gmm"), ("vrnn-gaus", "vrnn-gauss")]
)
def test_an_unknown_model_is_answered_with_the_nearest(typed: str, meant: str):
    config = replace(small_config("rnn-gauss", "pen"), name=typed)
    with pytest.raises(ModelError, match=f"did you mean '{meant}'"):
        build_model(config, torch.Generator())


@pytest.mark.parametrize(
    ("name", "kind", "size", "named"),
    [
        ("vrnn-gauss", "speech", "huge", "tiny"),
        ("vrnn-gauss", "pen", "paper-timit", "paper-iam_ondb"),
        ("vrnn", "pen", "tiny", "vrnn-gauss"),
    ],
)
def test_a_preset_that_is_not_there_names_those_that_are(name: str, kind: str, size: str, named: str):
    with pytest.raises(ModelError, match=named):
        preset(name, kind, size)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("rnn-gauss", {"latent": 3}, "no part of size latent"),
        ("vrnn-gauss", {"latent": 0}, "latent must be positive"),
        ("rnn-gauss", {"hidden": 0}, "hidden must be positive"),
        ("rnn-gauss", {"backward": 3}, "no part of size backward"),
        ("srnn-gauss", {"backward": 0}, "backward must be positive"),
        ("vrnn-gauss", {"backward": 3}, r"backward: a posterior that smooths is called vrnn-gauss\+smoothing"),
        ("vrnn-gauss+smoothing", {"backward": 0}, "backward must be positive"),
        ("vrnn-i-gauss", {"prior": 3}, "no part of size prior"),
        ("linear-gauss", {"hidden": 3}, "no part of size hidden"),
    ],
)
def test_sizes_that_contradict_the_model_are_refused(name: str, change: dict[str, int], message: str):
    with pytest.raises(ModelError, match=message):
        build_model(small_config(name, "pen", **change), torch.Generator())


def test_importing_the_mathematics_loads_torch_alone():
    heavy = "{'ray', 'mlflow', 'pandas', 'pyarrow', 'pydantic', 'scipy', 'torchaudio', 'pipelines'}"
    script = f"import sys, vrnn; sys.exit(' '.join({heavy} & sys.modules.keys()) or 0)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
