"""Named sizes of the models: the released code's, and smaller ones for tests and for two CPU cores.

Paper sizes are those of the released code (jych/nips2015_vrnn) where it has them. It does not contain TIMIT: there,
hidden and latent sizes, depth and RNN-Gauss's 600 are the paper's (section 4), the VRNNs' 500 is the released width of
Blizzard's networks, and RNN-GMM's 500 is this project's choice, as is every size of a model that the paper does not
have.

`tiny` is for tests and demos, `small` for two CPU cores. In `small` the widths are chosen so that the Gaussian models
of one kind have the same number of parameters within 5 %, and so do the mixtures.

A size says how wide each part would be; a family takes the parts that it has (`SequenceModel.sizes`). A new family
therefore has every size at once, and only models that were published with their own widths are listed by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from vrnn.errors import ModelError
from vrnn.models.config import FRAME_SIZES, SMOOTHING, Kind, ModelConfig, emission_of
from vrnn.models.registry import family_of
from vrnn.nn.discretised import Quantisation

__all__ = ["SIZES", "preset"]

_COMPONENTS: Mapping[str, int] = {"gauss": 1, "gmm": 20, "dmol": 20, "hier": 5, "hier-dmol": 5}
_FEW_COMPONENTS: Mapping[str, int] = {"gauss": 1, "gmm": 5, "dmol": 5, "hier": 2, "hier-dmol": 2}


@dataclass(frozen=True)
class _Size:
    """The widths of a model's parts.

    Attributes:
        hidden: units of the LSTM; the LSTM that reads backwards has half as many.
        depth: layers of every network.
        latent: Z.
        latent_width: width of the networks that read or emit a latent.
        frame_width: width of the networks that read or emit a frame, in a model with a latent.
        frame_width_alone: the same in a model without a latent, by emission; `frame_width` where not listed.
        frame_widths: exceptions to `frame_width`, by emission.
        group: samples of a group inside a frame.
        group_hidden: units of the LSTM over groups.
        context: samples or points that a linear model predicts from.
        components: components of the emission's mixture, by emission.
    """

    hidden: int
    depth: int
    latent: int
    latent_width: int
    frame_width: int
    frame_width_alone: Mapping[str, int]
    frame_widths: Mapping[str, int] = field(default_factory=dict[str, int])
    group: int = 10
    group_hidden: int = 64
    context: int = 32
    components: Mapping[str, int] = field(default_factory=lambda: _COMPONENTS)


_SIZES: Mapping[tuple[str, Kind], _Size] = {
    ("tiny", "speech"): _Size(
        48, 1, 16, 32, 32, {"gauss": 48, "gmm": 48}, group=20, group_hidden=16, context=8, components=_FEW_COMPONENTS
    ),
    ("tiny", "pen"): _Size(48, 1, 8, 32, 32, {"gauss": 48, "gmm": 48}, context=4),
    ("small", "speech"): _Size(256, 2, 64, 128, 256, {"gauss": 368, "gmm": 288, "dmol": 288}),
    ("small", "pen"): _Size(128, 1, 16, 64, 64, {"gauss": 160, "gmm": 148}, context=8),
    ("paper-timit", "speech"): _Size(2000, 4, 200, 500, 500, {"gauss": 600}),
    ("paper-blizzard", "speech"): _Size(4000, 4, 200, 500, 500, {"gauss": 800, "gmm": 700}, {"gauss": 600}),
    ("paper-iam_ondb", "pen"): _Size(1200, 1, 50, 150, 250, {"gauss": 340, "gmm": 300}, context=8),
}

SIZES = tuple(dict.fromkeys(size for size, _ in _SIZES))
"""The names of all sizes."""


def preset(name: str, kind: Kind, size: str, quantisation: Quantisation | None = None) -> ModelConfig:
    """The configuration of a registered model in a named size.

    Args:
        name: a model's name, such as `vrnn-gauss` or `vrnn-gauss+smoothing`.
        kind: the kind of frame.
        size: one of `SIZES`; a `paper-` size exists only for the kind of its corpus.
        quantisation: how normalised samples stand for integers; only a discretised emission uses it.

    Raises:
        ModelError: there is no such model, no such size for this kind, or the emission is not one of this kind.
    """
    if (size, kind) not in _SIZES:
        known = ", ".join(sorted(known_size for known_size, known_kind in _SIZES if known_kind == kind))
        raise ModelError(f"no size {size!r} for {kind!r} frames: expected one of {known or 'speech, pen'}")
    family, emission = family_of(name), emission_of(name)
    if kind == "pen" and emission not in ("gauss", "gmm"):
        raise ModelError(f"{name}: {emission} is an emission of speech; pen frames have gauss and gmm")
    parts = _parts(_SIZES[size, kind], emission, has_latent="latent" in family.sizes)
    if family.can_smooth and not name.endswith(SMOOTHING):
        parts["backward"] = 0
    return ModelConfig(
        name=name,
        kind=kind,
        frame_size=FRAME_SIZES[kind],
        depth=_SIZES[size, kind].depth,
        components=_SIZES[size, kind].components[emission],
        group=_SIZES[size, kind].group if emission.startswith("hier") else 0,
        group_hidden=_SIZES[size, kind].group_hidden if emission.startswith("hier") else 0,
        quantisation=quantisation if emission.endswith("dmol") else None,
        **{part: width if part in family.sizes else 0 for part, width in parts.items()},
    )


def _parts(size: _Size, emission: str, *, has_latent: bool) -> dict[str, int]:
    exceptions = size.frame_widths if has_latent else size.frame_width_alone
    frame_width = exceptions.get(emission, size.frame_width)
    return {
        "hidden": size.hidden,
        "phi_x": frame_width,
        "phi_z": size.latent_width,
        "encoder": size.latent_width,
        "prior": size.latent_width,
        "decoder": frame_width,
        "latent": size.latent,
        "backward": size.hidden // 2,
        "context": size.context,
    }
