"""The simulation says what it means to, and the methods keep what they promise on a small part of it."""

import json

import numpy as np
import pytest

from benchmarks.statistics import calibration
from benchmarks.statistics.calibration import FAMILIES, SETTINGS, Setting, calibrate, calibrate_family
from benchmarks.statistics.resampling import mean_spread

pytestmark = pytest.mark.filterwarnings("error")


def error(share: float, repetitions: int) -> float:
    """Four Monte Carlo standard errors."""
    return 4 * np.sqrt(share * (1 - share) / repetitions)


@pytest.mark.parametrize(
    "setting",
    [
        Setting(20, 3, 0.0),
        Setting(20, 3, 4.0),
        Setting(20, 3, 4.0, unequal=True),
        Setting(20, 5, 4.0, "lognormal"),
        Setting(20, 3, 1.0, lengths=0.5, noise=2.0),
    ],
)
def test_the_true_standard_error_is_that_of_many_repetitions(setting: Setting) -> None:
    draws = calibration._draw(setting, 2, 8000, np.random.default_rng(0))
    difference = draws.scores[:, 0].mean(axis=1) - draws.scores[:, 1].mean(axis=1)
    length = np.exp(setting.lengths**2 / 2)
    assert difference.std() == pytest.approx(setting.standard_error * length, rel=0.04)
    assert difference.mean() == pytest.approx(0.0, abs=4 * difference.std() / np.sqrt(8000))
    over_sequences = (difference - length * (draws.trained[:, 0] - draws.trained[:, 1])).std()
    assert (difference.var() - over_sequences**2) / over_sequences**2 == pytest.approx(setting.seed, rel=0.15, abs=0.05)


@pytest.mark.parametrize("shape", ["normal", "exponential", "lognormal"])
def test_interactions_have_mean_zero_and_variance_one_and_speakers_share_a_third_of_it(
    shape: calibration.Shape,
) -> None:
    generator = np.random.default_rng(1)
    values = calibration._interaction(Setting(16, 3, 0.0, shape, clustered=True), (100_000, 16), generator)
    assert values.mean() == pytest.approx(0.0, abs=0.01)
    assert values.var() == pytest.approx(1.0, abs=0.06)
    assert (values[:, 0] * values[:, 7]).mean() == pytest.approx(1 / 3, abs=0.06)
    assert (values[:, 7] * values[:, 8]).mean() == pytest.approx(0.0, abs=0.02)


def test_seeds_that_count_are_covered_jointly_and_mislead_a_test_of_sequences_alone() -> None:
    found = calibrate(Setting(30, 3, 1.0), repetitions=500)
    assert found["interval"] > 0.95 - 0.01 - error(0.95, 500)
    assert found["joint"] > 0.95 - error(0.95, 500)
    assert found["joint"] == 1 - found["joint_test"]
    assert found["verdict"] <= min(found["joint_test"], found["sequences_only"])
    assert found["sequences_only"] > 0.12
    assert found["permutation"] < 0.06 + error(0.06, 500)
    assert found["power_4"] > 0.85
    assert 0.25 < found["power_2"] < 0.55
    assert found["unpaired_power_4"] < 0.02


def test_few_skewed_sequences_are_covered_better_than_by_bca() -> None:
    found = calibrate(Setting(8, 3, 0.0, "lognormal"), repetitions=500)
    assert found["interval"] > 0.90
    assert found["bca"] < 0.86


@pytest.mark.parametrize(("count", "stated"), [(8, 0.90), (30, 0.93)])
def test_differences_that_are_lognormal_themselves_are_covered_as_the_documentation_states(
    count: int, stated: float
) -> None:
    low, high = mean_spread(np.random.default_rng(2).lognormal(size=(20_000, count))).interval()
    held = ((low <= np.exp(0.5)) & (high >= np.exp(0.5))).mean()
    assert held == pytest.approx(stated, abs=0.01)


def test_speakers_in_common_make_the_interval_over_sequences_too_short() -> None:
    single, clustered = (calibrate(Setting(40, 3, 0.0, clustered=shared), 200) for shared in (False, True))
    assert single["interval"] > 0.95 - 0.01 - error(0.95, 200)
    assert clustered["interval"] < 0.80


def test_a_family_of_equal_models_rarely_has_a_false_positive_after_correction() -> None:
    found = calibrate_family(Setting(30, 3, 0.0), repetitions=60)
    assert found["uncorrected"] > 0.35
    assert found["verdict"] <= 0.05 + error(0.05, 60)


def test_three_seeds_that_agree_by_chance_mislead_a_summed_variance_but_not_the_verdict() -> None:
    found = calibrate_family(Setting(30, 3, 25.0), repetitions=100)
    assert found["sequences_only"] == 1.0
    assert found["summed"] > 0.05
    assert found["verdict"] < min(found["summed"], 0.05 + error(0.05, 100))


def test_the_same_seed_gives_the_same_shares() -> None:
    setting = Setting(8, 3, 1.0)
    assert calibrate(setting, 50) == calibrate(setting, 50) != calibrate(setting, 50, seed=1)


@pytest.mark.parametrize("flags", [["--json"], []])
def test_the_command_prints_all_settings(
    flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calibration, "SETTINGS", (Setting(8, 3, 1.0), Setting(8, 3, 0.0)))
    monkeypatch.setattr(calibration, "FAMILIES", (Setting(8, 3, 1.0),))
    calibration.main([*flags, "--repetitions", "20"])
    printed = capsys.readouterr().out
    if flags:
        value = json.loads(printed)
        assert [row["seed"] for row in value["pairs"]] == [1.0, 0.0]
        assert 0 <= value["families"][0]["verdict"] <= 1
    else:
        assert "joint" in printed
        assert "bca" in printed


def test_every_setting_is_one_of_its_own() -> None:
    assert len(set(SETTINGS)) == len(SETTINGS)
    assert len(set(FAMILIES)) == len(FAMILIES)


@pytest.mark.slow
@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.sequences in (30, 200) and s.seeds == 3])
def test_intervals_and_verdicts_are_as_documented(setting: Setting) -> None:
    found = calibrate(setting, repetitions=1000, seed=1)
    if not setting.clustered:
        assert found["interval"] > 0.94 - error(0.94, 1000)
        assert found["joint"] > 0.95 - error(0.95, 1000)
        assert found["verdict"] < 0.05 + error(0.05, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("setting", FAMILIES)
def test_families_are_as_documented(setting: Setting) -> None:
    assert calibrate_family(setting, repetitions=200, seed=1)["verdict"] < 0.05 + error(0.05, 200)
