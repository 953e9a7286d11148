import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.errors import StudyError
from benchmarks.published import literature
from benchmarks.published.literature import Published, load_published
from vrnn.models.config import FRAME_SIZES
from vrnn.models.registry import MODELS

SHIPPED = Path(literature.__file__).parent
CORPORA = ("blizzard", "timit", "onomatopoeia", "accent", "iam_ondb")

TABLE_1 = {
    ("RNN-Gauss", "exact"): (3539, -1900, -984, -1293, 1016),
    ("RNN-GMM", "exact"): (7413, 26643, 18865, 3453, 1358),
    ("VRNN-I-Gauss", "elbo"): (8933, 28340, 19053, 3843, 1332),
    ("VRNN-I-Gauss", "iwae"): (9188, 29639, 19638, 4180, 1353),
    ("VRNN-Gauss", "elbo"): (9223, 28805, 20721, 3952, 1337),
    ("VRNN-Gauss", "iwae"): (9516, 30235, 21332, 4223, 1354),
    ("VRNN-GMM", "elbo"): (9107, 28982, 20849, 4140, 1384),
    ("VRNN-GMM", "iwae"): (9392, 29604, 21219, 4319, 1384),
}
LATER = {
    ("Fraccaro et al.", 2016, "SRNN", "elbo", "read"): (11991, 60550),
    ("Goyal et al.", 2017, "Z-forcing", "elbo", "recalled"): (15430, 70469),
    ("Shabanian et al.", 2017, "Variational Bi-LSTM", "elbo", "read"): (17319, 73315),
    ("Lai et al.", 2018, "Stochastic WaveNet", "elbo", "recalled"): (15708, 72463),
    ("Aksan & Hilliges", 2019, "STCN-dense-large (GMM)", "elbo", "recalled"): (17670, 77438),
    ("Dai et al.", 2019, "factorised RNN", "exact", "recalled"): (7600, 32700),
    ("Dai et al.", 2019, "factorised SRNN", "elbo", "recalled"): (15300, 69200),
    ("Dai et al.", 2019, "hierarchical RNN", "exact", "recalled"): (None, 109600),
    ("Dai et al.", 2019, "hierarchical SRNN", "elbo", "recalled"): (None, 107900),
    ("Dai et al.", 2019, "flat RNN", "exact", "recalled"): (None, 117700),
    ("Dai et al.", 2019, "flat SRNN", "elbo", "recalled"): (None, 109300),
}
HAVTORN = {
    ("LSTM", 1, "exact"): 11.11,
    ("WaveNet", 1, "exact"): 10.88,
    ("WaveNet", 64, "exact"): 13.30,
    ("VRNN", 64, "elbo"): 12.54,
    ("SRNN", 64, "elbo"): 12.42,
    ("CW-VAE", 64, "elbo"): 12.17,
}
PARAMETERS = {
    ("blizzard", "RNN-Gauss"): 84_342_800,
    ("blizzard", "RNN-GMM"): 86_723_620,
    ("blizzard", "VRNN-Gauss"): 93_898_000,
    ("blizzard", "VRNN-GMM"): 94_894_820,
    ("iam_ondb", "RNN-Gauss"): 7_808_546,
    ("iam_ondb", "RNN-GMM"): 7_602_721,
    ("iam_ondb", "VRNN-Gauss"): 8_460_706,
    ("iam_ondb", "VRNN-GMM"): 8_489_571,
}
OURS = {
    "RNN-Gauss": "rnn-gauss",
    "RNN-GMM": "rnn-gmm",
    "VRNN-I-Gauss": "vrnn-i-gauss",
    "VRNN-Gauss": "vrnn-gauss",
    "VRNN-GMM": "vrnn-gmm",
    "hierarchical RNN": "rnn-hier",
    "hierarchical SRNN": "srnn-hier",
    "LSTM": "rnn-dmol",
    "VRNN": "vrnn-dmol",
}


def of(year: int) -> list[Published]:
    return [published for published in load_published() if published.paper.year == year]


def test_the_papers_table_is_there_number_by_number_with_its_bounds_and_marks() -> None:
    expected = {
        (model, corpus, bound, 40 if bound == "iwae" else 1): (
            value,
            "read" if bound != "iwae" and corpus in ("blizzard", "timit") else "recalled",
        )
        for (model, bound), values in TABLE_1.items()
        for corpus, value in zip(CORPORA, values, strict=True)
    }
    found = [x.number for x in of(2015)]
    assert len(found) == len(expected) == 40
    assert {(n.model, n.corpus, n.bound, n.num_samples): (n.value, n.provenance) for n in found} == expected
    assert {x.source for x in of(2015)} == {"Chung et al. 2015, Table 1"}


def test_the_later_papers_are_there_number_by_number() -> None:
    expected = {
        (*key, corpus): value
        for key, values in LATER.items()
        for corpus, value in zip(CORPORA, values, strict=False)
        if value is not None
    }
    found = [x for year in range(2016, 2020) for x in of(year)]
    assert len(found) == len(expected) == 18
    assert {
        (x.paper.authors, x.paper.year, x.number.model, x.number.bound, x.number.provenance, x.number.corpus): (
            x.number.value
        )
        for x in found
    } == expected
    assert {x.number.rounded_to for x in found if x.paper.year == 2019 and x.paper.authors == "Dai et al."} == {100}
    assert {x.number.rounded_to for x in load_published() if x.paper.authors != "Dai et al."} == {None}
    assert {x.number.unit for year in range(2015, 2020) for x in of(year)} == {"nats_per_sequence"}


def test_bits_per_sample_are_there_number_by_number() -> None:
    found = of(2022)
    assert len(found) == 6
    assert {(x.number.model, x.number.frame_size, x.number.bound): x.number.value for x in found} == HAVTORN
    assert {(x.number.unit, x.number.corpus, x.number.provenance) for x in found} == {
        ("bits_per_sample", "timit", "recalled")
    }
    assert {(x.setting.measure, x.setting.quantisation) for x in found} == {("mass", "mu-law")}


def test_nothing_else_is_there() -> None:
    assert len(load_published()) == 40 + 18 + 6


def test_models_stand_beside_their_namesakes_here() -> None:
    for x in load_published():
        ours = {2016: "srnn-gauss", 2022: "srnn-dmol"}.get(x.paper.year) if x.number.model == "SRNN" else None
        assert x.number.our_model == (ours or OURS.get(x.number.model))


def test_an_exact_likelihood_is_of_a_model_without_a_latent_and_a_bound_of_one_with() -> None:
    for x in load_published():
        if x.number.our_model:
            assert ("latent" in MODELS[x.number.our_model].sizes) == (x.number.bound != "exact"), x


def test_a_positive_log_likelihood_is_no_mass() -> None:
    for x in load_published():
        assert x.setting.measure == ("density" if x.number.unit == "nats_per_sequence" else "mass")


def test_sizes_are_those_of_the_released_code_and_frames_those_of_the_models_here() -> None:
    """`tests/vrnn/models/test_config.py` counts the models' parameters and finds the same."""
    for x in load_published():
        number = x.number
        assert number.parameters == PARAMETERS.get((number.corpus, number.model)), x
        if x.paper.year == 2015:
            kind = "pen" if number.corpus == "iam_ondb" else "speech"
            assert number.frame_size == FRAME_SIZES[kind]


def test_what_the_released_code_says_of_its_corpora_is_there_and_nothing_of_the_others() -> None:
    settings = {x.number.corpus: x.setting for x in of(2015)}
    released = {corpus: setting.code_released for corpus, setting in settings.items()}
    assert released == dict.fromkeys(CORPORA, False) | {"blizzard": True, "iam_ondb": True}
    assert {c: s.sigma_floor for c, s in settings.items() if s.code_released} == {"blizzard": 1e-4, "iam_ondb": 1e-4}
    assert {s.sigma_floor for s in settings.values() if not s.code_released} == {None}
    assert {c: s.frames_per_sequence for c, s in settings.items()} == dict.fromkeys(CORPORA) | {
        "blizzard": 40,
        "accent": 40,
    }
    lines = settings["iam_ondb"]
    assert (lines.split, lines.sequences, lines.training_sequences) == ("valid", 1438, 10741)
    assert lines.train_on == ("train", "valid2", "test")
    assert lines.normalisation == "shared_integer"
    assert settings["blizzard"].training_sequences == 2_040_064


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "published"))


def edit(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text(encoding="utf-8")
    changed = change(text)
    assert changed != text
    path.write_text(changed, encoding="utf-8")


FIRST = "chung2015,RNN-Gauss,rnn-gauss,blizzard,3539,,exact,1,nats_per_sequence,200,84342800,read,\n"


def cell(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(FIRST, FIRST.replace(old, new, 1), 1)


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        ("numbers", cell("3539", "many"), "line 2: value 'many'"),
        ("numbers", cell("3539", "nan"), "line 2: value 'nan'"),
        ("numbers", cell("3539", ""), "line 2: value"),
        ("numbers", cell("exact,1", "fivo,1"), "line 2: bound 'fivo'"),
        ("numbers", cell("exact,1", "exact,40"), "num_samples is 1 where the bound is exact"),
        ("numbers", cell("nats_per_sequence", "nats"), "line 2: unit 'nats'"),
        ("numbers", cell("read,", "guessed,"), "line 2: provenance 'guessed'"),
        ("numbers", cell("rnn-gauss", "rnn-gaus"), "did you mean 'rnn-gauss'"),
        ("numbers", cell(",blizzard", ",librispeech"), "chung2015 on librispeech has no row in settings.csv"),
        ("numbers", cell(",200,", ",0,"), "line 2: frame_size '0'"),
        ("numbers", cell("read,", "read"), "12 cells under 13 columns"),
        ("numbers", lambda text: text + FIRST, "is there already"),
        ("numbers", lambda text: text.replace("our_model", "ourmodel", 1), "'ourmodel'; did you mean our_model?"),
        ("numbers", lambda text: text.replace("our_model", "model", 1), "column 'model' is there 2 times"),
        ("numbers", lambda text: text.replace("our_model,", "", 1), "column 'our_model' is there 0 times"),
        ("numbers", lambda _: "", "column 'paper' is there 0 times"),
        ("numbers", lambda text: text + '"', "not CSV"),
        ("settings", lambda text: text.replace(",timit,", ",timid,", 1), "did you mean timit?"),
        ("settings", lambda text: text.replace(",window,40,", ",whole,40,", 1), "frames_per_sequence is given with"),
        ("settings", lambda text: text.replace(",window,40,", ",window,,", 1), "frames_per_sequence is given with"),
        ("settings", lambda text: text.replace("train valid2 test", "train valid3", 1), "train_on 'valid3'"),
        ("settings", lambda text: text.replace("1e-4", "-1e-4", 1), "sigma_floor '-1e-4'"),
        ("settings", lambda text: text.replace("false", "perhaps", 1), "'perhaps'"),
        ("papers", lambda text: text.replace("goyal2017", "goyal", 1), "goyal2017 has no row in papers.csv"),
        ("papers", lambda text: text + "chung2015,A,2000,,\n", "is there already"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line_that_says_where(
    tables: Path, table: str, change: Callable[[str], str], words: str
) -> None:
    edit(tables / f"{table}.csv", change)
    with pytest.raises(StudyError) as caught:
        load_published(tables)
    message = str(caught.value)
    assert words in message
    assert ".csv" in message
    assert "\n" not in message


def test_a_missing_table_and_one_in_another_encoding_are_refused(tables: Path) -> None:
    (tables / "papers.csv").write_bytes("paper,authors\nx,Ångström".encode("utf-16"))
    with pytest.raises(StudyError, match="not CSV in UTF-8"):
        load_published(tables)
    (tables / "papers.csv").unlink()
    with pytest.raises(StudyError, match=r"papers\.csv: cannot be read"):
        load_published(tables)


def test_an_empty_cell_is_not_known_and_a_number_can_be_added(tables: Path) -> None:
    with (tables / "numbers.csv").open("a", encoding="utf-8") as file:
        file.write("chung2015,New,,timit,1.5,,iwae,1000,nats_per_frame,,,read,\n")
    added = load_published(tables)[-1]
    assert (added.number.our_model, added.number.frame_size, added.number.note) == (None, None, None)
    assert (added.number.value, added.number.num_samples) == (1.5, 1000)
    assert added.setting.sequence == "whole"


def signed(x: Published) -> str:
    sign = {"exact": "", "elbo": "≤" if x.number.unit == "bits_per_sample" else "≥", "iwae": "~"}[x.number.bound]
    value = f"{x.number.value:.2f}" if x.number.unit == "bits_per_sample" else f"{x.number.value:,.0f}"
    mark = "*" if x.number.provenance == "recalled" else ""
    return f"{sign}{value}{mark}"


def test_the_page_shows_every_number_with_its_bound_and_mark() -> None:
    page = (Path(__file__).parents[3] / "docs" / "published.md").read_text(encoding="utf-8")
    rows = [[part.strip() for part in line.strip("| ").split("|")] for line in page.splitlines() if "|" in line]
    for x in load_published():
        (row,) = [r for r in rows if r[0] == x.number.model and f"{x.paper.authors} {x.paper.year}" in r[-1]]
        assert signed(x) in [part for cell in row for part in cell.split(" ")], x
