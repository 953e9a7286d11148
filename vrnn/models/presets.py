"""Named sizes of the models: the released code's, and smaller ones for tests and for two CPU cores.

Paper sizes are those of the released code (jych/nips2015_vrnn) where it has them. It never held TIMIT: there,
hidden and latent sizes, depth and RNN-Gauss's 600 are the paper's (section 4), the VRNNs' 500 is the released
width of Blizzard's networks, and RNN-GMM's 500 is this project's choice.

`tiny` is for tests and demos, `small` for two CPU cores. In `small` the widths are chosen so that the
Gaussian models of one kind have the same number of parameters within 5 %, and the mixtures too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from vrnn.errors import ModelError
from vrnn.models.config import FRAME_SIZES, Kind, ModelConfig

__all__ = ["SIZES", "preset"]

_COMPONENTS = {"gauss": 1, "gmm": 20}


@dataclass(frozen=True)
class _Widths:
    """Widths of a model's networks, and its latent size; 0 where it has none."""

    phi_x: int
    phi_z: int
    encoder: int
    prior: int
    decoder: int
    latent: int


@dataclass(frozen=True)
class _Size:
    """What the models of one size and one kind share, and each model's widths."""

    hidden: int
    depth: int
    widths: Mapping[str, _Widths]


def _rnn(width: int) -> _Widths:
    return _Widths(phi_x=width, phi_z=0, encoder=0, prior=0, decoder=width, latent=0)


def _vrnn(frame_width: int, latent_width: int, latent: int) -> _Widths:
    """`frame_width` for the networks that read or emit frames, `latent_width` for those of the latent."""
    return _Widths(frame_width, latent_width, latent_width, latent_width, frame_width, latent)


def _widths(rnn_gauss: int, rnn_gmm: int, vrnn_gauss: _Widths, vrnn_gmm: _Widths) -> dict[str, _Widths]:
    return {
        "rnn-gauss": _rnn(rnn_gauss),
        "rnn-gmm": _rnn(rnn_gmm),
        "vrnn-gauss": vrnn_gauss,
        "vrnn-gmm": vrnn_gmm,
    }


_SIZES: Mapping[tuple[str, Kind], _Size] = {
    ("tiny", "speech"): _Size(48, 1, _widths(48, 48, _vrnn(32, 32, 16), _vrnn(32, 32, 16))),
    ("tiny", "pen"): _Size(48, 1, _widths(48, 48, _vrnn(32, 32, 8), _vrnn(32, 32, 8))),
    ("small", "speech"): _Size(256, 2, _widths(368, 288, _vrnn(256, 128, 64), _vrnn(256, 128, 64))),
    ("small", "pen"): _Size(128, 1, _widths(160, 148, _vrnn(64, 64, 16), _vrnn(64, 64, 16))),
    ("paper-timit", "speech"): _Size(2000, 4, _widths(600, 500, _vrnn(500, 500, 200), _vrnn(500, 500, 200))),
    ("paper-blizzard", "speech"): _Size(4000, 4, _widths(800, 700, _vrnn(600, 500, 200), _vrnn(500, 500, 200))),
    ("paper-iam_ondb", "pen"): _Size(1200, 1, _widths(340, 300, _vrnn(250, 150, 50), _vrnn(250, 150, 50))),
}

SIZES = tuple(dict.fromkeys(size for size, _ in _SIZES))
"""The names of all sizes."""


def preset(name: str, kind: Kind, size: str) -> ModelConfig:
    """The configuration of a registered model in a named size.

    Args:
        name: a model's name, such as `vrnn-gauss`.
        kind: what a frame is.
        size: one of `SIZES`; a `paper-` size exists for its corpus's kind only.

    Raises:
        ModelError: there is no such size for this kind, or no such model in it.
    """
    if (size, kind) not in _SIZES:
        known = ", ".join(sorted(known_size for known_size, known_kind in _SIZES if known_kind == kind))
        raise ModelError(f"no size {size!r} for {kind!r} frames: expected one of {known or 'speech, pen'}")
    shared = _SIZES[size, kind]
    if name not in shared.widths:
        raise ModelError(f"no preset of model {name!r}: expected one of {', '.join(shared.widths)}")
    return ModelConfig(
        name=name,
        kind=kind,
        frame_size=FRAME_SIZES[kind],
        hidden=shared.hidden,
        depth=shared.depth,
        components=_COMPONENTS[name.rsplit("-", 1)[-1]],
        **vars(shared.widths[name]),
    )
