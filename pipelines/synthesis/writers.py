"""Invented writers, each with a style of writing, a slant, a size and habits."""

from dataclasses import dataclass

from pipelines.randomness import keyed_generator

__all__ = ["Writer", "invent_writer"]

_HANDS = (("scripts", "scripts"), ("scripts", "futural"), ("futural", "futural"))


@dataclass(frozen=True)
class Writer:
    """One invented writer. Lengths are in tablet units unless they are said to be in font units.

    Attributes:
        seed: seed of the corpus; with `number` it determines the shapes of the letters.
        number: number of the writer.
        small_font: Hershey font of the small letters and the punctuation.
        capital_font: Hershey font of the capitals.
        joins: probability that two script letters of a word are joined.
        size: height of a font unit.
        aspect: width of a font unit over its height.
        slant: tangent of the slant to the right, in addition to the font's.
        word_space: space between words, in font units.
        own_shape: deviation of the writer's letters from the font's, in font units.
        unsteadiness: deviation of one instance of a letter from another, in font units.
        rounding: rounding of corners, in font units.
        line_slope: slope of the baseline; positive means falling.
        line_wave: amplitude of the baseline's slow wave.
        tremor: standard deviation of the pen's tremor.
        speed: speed on a straight line, in units per second.
        hesitation: mean extra seconds before a word.
        line_width: width of a full line.
    """

    seed: int
    number: int
    small_font: str
    capital_font: str
    joins: float
    size: float
    aspect: float
    slant: float
    word_space: float
    own_shape: float
    unsteadiness: float
    rounding: float
    line_slope: float
    line_wave: float
    tremor: float
    speed: float
    hesitation: float
    line_width: float


def invent_writer(seed: int, number: int) -> Writer:
    """The `number`-th writer of a corpus; the ranges are those of real writing on a whiteboard."""
    rng = keyed_generator("writer", seed, number)
    small, capital = _HANDS[rng.choice(len(_HANDS), p=(0.2, 0.3, 0.5))]
    is_script = small == "scripts"
    return Writer(
        seed=seed,
        number=number,
        small_font=small,
        capital_font=capital,
        joins=rng.uniform(0.3, 0.95),
        size=rng.uniform(10.5, 15.0) if is_script else rng.uniform(9.5, 12.5),
        aspect=rng.uniform(0.85, 1.25) if is_script else rng.uniform(0.85, 1.05),
        slant=rng.uniform(-0.5, 0.1) if is_script else rng.uniform(-0.1, 0.4),
        word_space=rng.uniform(7.0, 14.0),
        own_shape=rng.uniform(0.3, 0.8),
        unsteadiness=rng.uniform(0.2, 0.45),
        rounding=rng.uniform(0.7, 1.3),
        line_slope=rng.normal(0.0, 0.012),
        line_wave=rng.uniform(4.0, 18.0),
        tremor=rng.uniform(0.5, 1.5),
        speed=rng.uniform(2400.0, 4200.0),
        hesitation=rng.uniform(0.1, 0.7),
        line_width=rng.uniform(5500.0, 6600.0),
    )
