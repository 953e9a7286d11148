"""The speech adapters: what they use, ignore, refuse and report, on generated trees and on real corpora."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from pipelines.corpora import CORPORA, Listing, SourceItem, find_corpus
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from tests.pipelines.corpora.trees import touch

LIST_HEADER = "age,age_onset,birthplace,filename,native_language,sex,speakerid,country,file_missing?,,,"
LAYOUTS: dict[str, tuple[str, ...]] = {
    "blizzard": ("Book/unsegmented/Chapter01.mp3", "Book/unsegmented/Chapter02.mp3"),
    "onomatopoeia": ("dataset/Coughing/2AV8_4_1_0_44_0_0_0.wav", "dataset/Sighing/2AV8_7_1_0_44_0_0_0.wav"),
    "accent": ("recordings/Afrikaans1.mp3", "recordings/english11.mp3"),
    "librispeech": ("train-clean-100/84/121123/84-121123-0000.flac", "dev-clean/85/1/85-1-0000.flac"),
    "ljspeech": ("wavs/LJ001-0001.wav", "wavs/LJ002-0001.wav"),
    "vctk": ("wav48_silence_trimmed/p225/p225_001_mic1.flac", "wav48_silence_trimmed/s5/s5_002_mic1.flac"),
    "audio_folder": ("A/one.wav", "B/two.mp3"),
}
LISTS = {"accent": ("speakers.csv", "filename\n"), "ljspeech": ("metadata.csv", "LJ001-0001|a|a\nLJ002-0001|b|b\n")}


def listing(name: str, root: Path, **options: bool | int | str) -> Listing:
    corpus = find_corpus(name)
    return corpus.list_items(Location(str(root)), {**corpus.options, **options})


def by_id(found: Listing) -> dict[str, SourceItem]:
    assert len({item.id for item in found.items}) == len(found.items)
    return {item.id: item for item in found.items}


def layout(name: str, root: Path, change: str = "") -> Path:
    """A whole small copy of corpus `name`, its paths put through the string method `change`."""
    files = dict.fromkeys(LAYOUTS[name], "x") | dict([LISTS[name]] if name in LISTS else [])
    for path, text in files.items():
        touch(root, getattr(path, change)() if change else path, text=text)
    return root


def refused(name: str, root: Path, **options: bool | int | str) -> str:
    with pytest.raises(InputError) as caught:
        listing(name, root, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", LAYOUTS)
def test_ids_and_splits_depend_neither_on_letter_case_nor_on_the_place_of_the_copy(name: str, tmp_path: Path) -> None:
    first = listing(name, layout(name, tmp_path / "a"))
    for other in (layout(name, tmp_path / "b", "upper"), layout(name, tmp_path / "c", "lower")):
        again = listing(name, other)
        for part in ("id", "split", "split_by_sequence", "speaker", "group", "attributes"):
            assert [getattr(item, part) for item in again.items] == [getattr(item, part) for item in first.items]
    assert all(item.id == item.id.lower() for item in first.items)
    assert len(first.items) == 2


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "audio_folder"])
def test_directories_above_a_copy_are_not_part_of_its_ids(name: str, tmp_path: Path) -> None:
    layout(name, tmp_path / "above" / "it")
    assert by_id(listing(name, tmp_path)).keys() == by_id(listing(name, tmp_path / "above" / "it")).keys()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_wrong_root_is_refused_in_one_line_that_says_what_to_point_at(name: str, tmp_path: Path) -> None:
    if name != "audio_folder":
        touch(tmp_path, "notes.txt", "etc/passwd")
    message = refused(name, tmp_path)
    assert str(tmp_path) in message
    assert "point --raw at" in message


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "audio_folder"])
def test_two_files_with_one_id_are_refused_by_name(name: str, tmp_path: Path) -> None:
    layout(name, tmp_path)
    path = LAYOUTS[name][0]
    double = path.rsplit(".", 1)[0] + ".ogg"
    touch(tmp_path, double)
    message = refused(name, tmp_path)
    assert path in message
    assert double in message


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_adapter_states_origin_and_licence(name: str) -> None:
    corpus = CORPORA[name]
    assert (corpus.kind, corpus.sample_rate) == ("speech", 16000)
    assert corpus.licence
    assert corpus.url.startswith("https://") or name == "audio_folder"


def test_blizzard_uses_the_chapters_by_default(tmp_path: Path) -> None:
    touch(tmp_path, "Unsegmented_mp3/c1.mp3", "unsegmented_mp3/c2.mp3", "wavs/u1.wav", "wavs/u2.flac", "wavs/u3.mp3")
    chapters = by_id(listing("blizzard", tmp_path))
    assert [item.file.path for item in chapters.values()] == ["Unsegmented_mp3/c1.mp3", "unsegmented_mp3/c2.mp3"]
    assert by_id(listing("blizzard", tmp_path, form="unsegmented")) == chapters
    assert set(by_id(listing("blizzard", tmp_path, form="segmented"))) == {"u1", "u2"}
    assert "by chapter" in listing("blizzard", tmp_path).split_rule
    assert {item.speaker for item in chapters.values()} == {None}


def test_blizzard_uses_any_mp3_if_there_is_nothing_else(tmp_path: Path) -> None:
    touch(tmp_path, "book1/c1.mp3", "book2/c1.mp3", "README.txt")
    assert set(by_id(listing("blizzard", tmp_path))) == {"book1/c1", "book2/c1"}
    assert "of the form segmented" in refused("blizzard", tmp_path, form="segmented")
    assert "choose one of auto, unsegmented, segmented" in refused("blizzard", tmp_path, form="mp3")


def test_blizzard_utterances_are_those_of_their_list(tmp_path: Path) -> None:
    rows = 'id|takes|text\nU1|3|"No, never\nu2|1|\nU9|1|Lost.\n../../etc/passwd|1|Traversal.\n'
    touch(tmp_path, "flac/u1.flac", "flac/u2.flac", "orig/u1_48k.wav", "etc/passwd", "passwd.wav")
    touch(tmp_path, "metadata.csv", text=rows)
    found = listing("blizzard", tmp_path)
    assert {item.id: item.transcript for item in found.items} == {"u1": '"No, never', "u2": None}
    assert [(one.id, "there is no such recording" in one.message) for one in found.missing] == [
        ("../../etc/passwd", True),
        ("u9", True),
    ]


def test_blizzard_lists_that_fit_nothing_are_refused_and_lists_of_another_kind_are_ignored(tmp_path: Path) -> None:
    touch(tmp_path, "wavs/u1.wav")
    touch(tmp_path, "metadata.csv", text="u7|no header\n")
    assert set(by_id(listing("blizzard", tmp_path))) == {"u1"}
    touch(tmp_path, "metadata.csv", text="id|text\nu7|x\n")
    assert "none of the recordings that its metadata.csv lists" in refused("blizzard", tmp_path)


def test_onomatopoeia_reads_classes_and_the_nonverbal_names(tmp_path: Path) -> None:
    touch(tmp_path, "set/Dog Bark/1.wav", "set/Dog Bark/2.ogg", "set/yawning/9U2E_5_11_1_15_0_1_0.wav")
    items = by_id(listing("onomatopoeia", tmp_path))
    assert items["dog bark/1"].attributes == (("class", "dog bark"),)
    assert (items["dog bark/1"].speaker, items["dog bark/1"].group) == (None, "dog bark/1")
    yawn = items["yawning/9u2e_5_11_1_15_0_1_0"]
    assert (yawn.speaker, yawn.group) == ("9u2e", "9u2e")
    attributes = {
        "class": "yawning",
        "trial": "11",
        "sex": "1",
        "age": "15",
        "location": "0",
        "quality": "1",
        "noise": "0",
    }
    assert dict(yawn.attributes) == attributes


def test_sounds_without_a_class_level_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "1.wav", "2.wav")
    assert "audio_folder" in refused("onomatopoeia", tmp_path)


def accent_list(root: Path, *rows: str, header: str = LIST_HEADER, name: str = "speakers_all.csv") -> Path:
    path = root / name
    path.write_bytes("\r\n".join([header, *rows]).encode("latin-1"))
    return path


def test_accent_attributes_are_read_by_column_name(tmp_path: Path) -> None:
    touch(tmp_path, "recordings/French3.mp3", "recordings/english11.mp3", "recordings/kru1.mp3")
    accent_list(
        tmp_path,
        '24,12,"Béziers, France",French3,french,female,7,"france, ""la""",FALSE,,,',
        "30,0,,english11,english,,8,,FALSE",
    )
    items = by_id(listing("accent", tmp_path))
    assert dict(items["french3"].attributes) == {
        "native_language": "french",
        "sex": "female",
        "age": "24",
        "age_onset": "12",
        "birthplace": "Béziers, France",
        "country": 'france, "la"',
    }
    assert dict(items["english11"].attributes) == {"native_language": "english", "age": "30", "age_onset": "0"}
    assert items["kru1"].attributes == ()
    assert all(item.speaker == item.group == item.id for item in items.values())


def test_accent_reads_the_short_list_with_a_byte_order_mark_and_prefers_the_long_one(tmp_path: Path) -> None:
    touch(tmp_path, "recordings/ga1.mp3")
    (tmp_path / "speakers.csv").write_text("\ufefffilename,sex\nga1,male\n", encoding="utf-8")
    assert by_id(listing("accent", tmp_path))["ga1"].attributes == (("sex", "male"),)
    accent_list(tmp_path, "24,12,,ga1,ga,female,7,,FALSE")
    assert dict(by_id(listing("accent", tmp_path))["ga1"].attributes)["sex"] == "female"


def test_accent_states_for_every_missing_recording_whether_the_list_marks_it(tmp_path: Path) -> None:
    touch(tmp_path, "recordings/ga1.mp3", "etc/passwd", "passwd.mp3")
    rows = ("1,1,,Balanta,b,male,1,,TRUE", "1,1,,kru2,k,male,2,,FALSE", "1,1,,../../etc/passwd,k,male,3,,", "1,1,,,k")
    accent_list(tmp_path, *rows)
    found = listing("accent", tmp_path)
    assert [item.id for item in found.items] == ["ga1"]
    assert [(one.id, "does not mark" in one.message) for one in found.missing] == [
        ("../../etc/passwd", True),
        ("balanta", False),
        ("kru2", True),
    ]


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ((), "name,sex", "no column `filename`"),
        (("1,1,,ga1,ga,male,1,,", "1,1,,GA1,ga,female,1,,"), LIST_HEADER, "two different rows for 'ga1'"),
        (('1,1,"' + "x" * 200_000 + '",ga1,ga,male,1,,',), LIST_HEADER, "line 2: field larger"),
    ],
)
def test_contradictory_accent_lists_are_refused(
    tmp_path: Path, rows: tuple[str, ...], header: str, message: str
) -> None:
    touch(tmp_path, "recordings/ga1.mp3")
    accent_list(tmp_path, *rows, header=header)
    assert message in refused("accent", tmp_path)


def test_accent_without_a_list_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "recordings/ga1.mp3")
    assert "no speakers_all.csv or speakers.csv" in refused("accent", tmp_path)


def test_librispeech_uses_its_subsets_transcripts_and_speakers(tmp_path: Path) -> None:
    root = tmp_path / "LibriSpeech"
    for subset, speaker in (("train-other-500", 20), ("dev-other", 116), ("test-clean", 61)):
        chapter = f"{subset}/{speaker}/70"
        touch(root, *(f"{chapter}/{speaker}-70-000{n}.flac" for n in range(2)))
        lines = f"{speaker}-70-0000 SOME WORDS\r\n{speaker}-70-0009 LOST\n../../../etc/passwd STOLEN\n"
        touch(root, f"{chapter}/{speaker}-70.trans.txt", text=lines)
    info = ";ID |SEX| SUBSET\n20 | F | train-other-500 | 30.5 | Jo | Smith\n61 | M | test-clean | 8.1 | A B\n"
    touch(root, "SPEAKERS.TXT", text=info)
    found = listing("librispeech", tmp_path)
    items = by_id(found)
    assert {item.speaker: item.split for item in found.items} == {"20": "train", "116": "valid", "61": "test"}
    assert (items["20-70-0000"].transcript, items["20-70-0001"].transcript) == ("SOME WORDS", None)
    assert items["20-70-0001"].attributes == (("subset", "train-other-500"), ("sex", "F"))
    assert items["116-70-0000"].attributes == (("subset", "dev-other"),)
    assert [one.id for one in found.missing] == ["../../../etc/passwd", "116-70-0009", "20-70-0009", "61-70-0009"]
    assert {item.split_by_sequence for item in found.items} == {None}


def test_ljspeech_uses_the_normalised_text_and_cuts_no_section(tmp_path: Path) -> None:
    names = [f"LJ{section:03d}-{n:04d}" for section in range(1, 21) for n in range(1, 4)]
    touch(tmp_path, *(f"LJSpeech-1.1/wavs/{name}.wav" for name in names), "etc/passwd")
    rows = ['LJ001-0001|The "1st|The "first', "LJ001-0002|as it is|", "LJ999-0001|lost|lost", "../../etc/passwd|x|x"]
    touch(tmp_path, "LJSpeech-1.1/metadata.csv", text="\n".join(rows))
    found = listing("ljspeech", tmp_path)
    texts = [by_id(found)[f"lj001-000{n}"].transcript for n in (1, 2, 3)]
    assert texts == ['The "first', "as it is", None]
    assert [one.id for one in found.missing] == ["../../etc/passwd", "lj999-0001"]
    assert {item.group for item in found.items} == {f"lj{section:03d}" for section in range(1, 21)}
    assert Counter(item.split for item in found.items) == {"train": 54, "valid": 3, "test": 3}


def test_ljspeech_without_its_list_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "wavs/LJ001-0001.wav")
    assert "no metadata.csv" in refused("ljspeech", tmp_path)


def vctk(root: Path) -> Path:
    tree = "wav48_silence_trimmed"
    both = [f"{tree}/p225/p225_00{n}_mic{m}.flac" for n in (1, 2) for m in (1, 2)]
    touch(root, *both, f"{tree}/p280/p280_001_mic1.flac", f"{tree}/s5/s5_001_mic1.flac", f"{tree}/log.txt")
    touch(root, "txt/p225/p225_001.txt", text="Please call Stella.\n")
    info = (
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \np225  23  F    English    Southern  England\n"
        "p280  25  F    French   France  (mic2 files unavailable)\ns5  18  F\n"
    )
    touch(root, "speaker-info.txt", text=info)
    return root


def test_vctk_uses_one_microphone_and_reports_what_it_did_not_record(tmp_path: Path) -> None:
    first, second = (listing("vctk", vctk(tmp_path), microphone=number) for number in (1, 2))
    assert set(by_id(first)) == {"p225_001", "p225_002", "p280_001", "s5_001"}
    assert not first.missing
    assert {item.file.path.rpartition("_")[2] for item in second.items} == {"mic2.flac"}
    assert [one.id for one in second.missing] == ["p280_001", "s5_001"]


def test_vctk_reads_text_and_speaker_info_if_they_exist(tmp_path: Path) -> None:
    items = by_id(listing("vctk", vctk(tmp_path)))
    assert (items["p225_001"].transcript, items["p225_002"].transcript) == ("Please call Stella.", None)
    attributes = {"age": "23", "sex": "F", "accent": "English", "region": "Southern England"}
    assert dict(items["p225_001"].attributes) == attributes
    assert dict(items["p280_001"].attributes)["region"] == "France"
    assert dict(items["s5_001"].attributes) == {"age": "18", "sex": "F"}


def test_the_older_vctk_has_one_microphone_and_numbers_for_speakers(tmp_path: Path) -> None:
    touch(tmp_path, "VCTK-Corpus/wav48/p225/p225_001.wav")
    touch(
        tmp_path, "VCTK-Corpus/speaker-info.txt", text="ID  AGE  GENDER\n225  23  F    English    Southern  England\n"
    )
    (item,) = listing("vctk", tmp_path).items
    assert (item.id, dict(item.attributes)["accent"]) == ("p225_001", "English")
    assert "choose another microphone (1 or 2; VCTK 0.80 has only 1)" in refused("vctk", tmp_path, microphone=2)


def test_audio_folder_ignores_no_file(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.wav", "a/x.mp3", "a/y.flac", "a/.DS_Store", "README", "b/c/notes.txt")
    expected = {"a/x.wav", "a/x.mp3", "a/y.flac", "a/.ds_store", "readme", "b/c/notes.txt"}
    assert set(by_id(listing("audio_folder", tmp_path))) == expected


def test_audio_folder_levels_name_speaker_and_class(tmp_path: Path) -> None:
    touch(tmp_path, "Ann/Laugh/1.wav", "Ann/2.wav", "3.wav")
    items = by_id(listing("audio_folder", tmp_path, speaker_level=1, class_level=2))
    attributes = {name: (item.speaker, item.group, item.attributes) for name, item in items.items()}
    assert attributes == {
        "ann/laugh/1.wav": ("ann", "ann", (("class", "laugh"),)),
        "ann/2.wav": ("ann", "ann", ()),
        "3.wav": (None, "3.wav", ()),
    }
    assert {item.speaker for item in listing("audio_folder", tmp_path).items} == {None}
    assert "a level is 0" in refused("audio_folder", tmp_path, class_level=-1)


def test_audio_folder_refuses_names_that_differ_in_letter_case_alone(tmp_path: Path) -> None:
    touch(tmp_path, "a/X.wav", "a/x.wav")
    if len(list((tmp_path / "a").iterdir())) == 1:
        pytest.skip("this file system ignores letter case")
    message = refused("audio_folder", tmp_path)
    assert "a/X.wav and a/x.wav" in message


def test_accents_written_composed_and_decomposed_are_one_name(tmp_path: Path) -> None:
    touch(tmp_path / "composed", "caf\u00e9/1.wav", "b/1.wav")
    touch(tmp_path / "decomposed", "cafe\u0301/1.wav", "b/1.wav")
    ids = [set(by_id(listing("audio_folder", tmp_path / form))) for form in ("composed", "decomposed")]
    assert ids[0] == ids[1] == {"caf\u00e9/1.wav", "b/1.wav"}


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("onomatopoeia", "set/class{j}/S{i:03d}_4_{j}_0_30_0_0_0.wav"),
        ("vctk", "wav48/p{i:03d}/p{i:03d}_{j:03d}.wav"),
        ("audio_folder", "voice{i}/{j}.wav"),
    ],
)
def test_only_the_papers_split_cuts_a_speaker(name: str, pattern: str, tmp_path: Path) -> None:
    touch(tmp_path, *(pattern.format(i=i, j=j) for i in range(30) for j in range(8)))
    options = {"speaker_level": 1} if name == "audio_folder" else {}
    splits: dict[str, set[str]] = defaultdict(set)
    by_sequence: dict[str, set[str | None]] = defaultdict(set)
    for item in listing(name, tmp_path, **options).items:
        assert item.group == item.speaker
        splits[item.group].add(item.split)
        by_sequence[item.group].add(item.split_by_sequence)
    assert len(splits) == 30
    assert set.union(*splits.values()) == {"train", "valid", "test"}
    assert all(len(places) == 1 for places in splits.values())
    assert any(len(places) > 1 for places in by_sequence.values())


@pytest.mark.parametrize(
    ("name", "root", "form", "count", "texts"),
    [
        ("blizzard", "single_speaker", "auto", 12, 0),
        ("blizzard", "single_speaker/unsegmented_mp3", "auto", 12, 0),
        ("blizzard", "single_speaker", "segmented", 593, 593),
        ("blizzard", "single_speaker/flac16k", "auto", 593, 0),
        ("onomatopoeia", "nonverbal", None, 503, 0),
        ("accent", "accent", None, 70, 0),
        ("audio_folder", "oddbox", None, 222, 0),
    ],
)
def test_real_corpora_are_listed_completely(
    real_corpora: Path, name: str, root: str, form: str | None, count: int, texts: int
) -> None:
    found = listing(name, real_corpora / root, **({"form": form} if form else {}))
    assert len(by_id(found)) == count
    assert not found.missing
    assert sum(item.transcript is not None for item in found.items) == texts
    assert {item.split for item in found.items} == {"train", "valid", "test"}


def test_the_real_nonverbal_set_has_its_classes_and_speakers(real_corpora: Path) -> None:
    items = listing("onomatopoeia", real_corpora / "nonverbal").items
    assert len({dict(item.attributes)["class"] for item in items}) == 16
    assert len({item.speaker for item in items}) == 287
    assert all(item.speaker for item in items)
