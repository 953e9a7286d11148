from fnmatch import fnmatch
from typing import Any

import pytest
import yaml

from pipelines.shards.card import dataset_card
from pipelines.shards.manifest import Manifest
from pipelines.shards.read import ShardSet

LICENCE, URL = 'research: "non-commercial" # only', "https://corpus.invalid/timit"


def licensed(shards: ShardSet, licence: str = LICENCE) -> Manifest:
    return shards.manifest.model_copy(update={"licence": licence, "url": URL})


def front_matter(card: str) -> dict[str, Any]:
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


def test_the_front_matter_names_exactly_the_shards(speech: ShardSet) -> None:
    meta = front_matter(dataset_card(licensed(speech)))
    assert (meta["license"], meta["license_name"], meta["license_link"]) == ("other", LICENCE, URL)
    assert meta["size_categories"] == ["n<1K"]
    (config,) = meta["configs"]
    patterns = {entry["split"]: entry["path"] for entry in config["data_files"]}
    here = [file.path for file in speech.location.files()] + ["valid2-00000-of-00001.parquet"]
    for split, content in speech.manifest.splits.items():
        listed = [file for file in here if fnmatch(file, patterns[split])]
        assert listed == [shard.file for shard in content.shards]


def test_a_licence_of_hugging_faces_list_has_its_identifier(speech: ShardSet) -> None:
    meta = front_matter(dataset_card(licensed(speech, "CC BY 4.0")))
    assert meta["license"] == "cc-by-4.0"
    assert "license_name" not in meta


@pytest.mark.parametrize("kind", ["speech", "ink"])
def test_the_card_states_what_the_manifest_states(kind: str, request: pytest.FixtureRequest) -> None:
    manifest = licensed(request.getfixturevalue(kind))
    card = dataset_card(manifest)
    assert card == dataset_card(manifest)
    assert manifest.fingerprint in card
    assert manifest.split_rule in card
    assert LICENCE in card
    for name, split in manifest.splits.items():
        (row,) = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
        assert f"| {split.sequences:,} | {split.length:,} |" in row
        assert row.count("|") == (6 if kind == "speech" else 5)
    assert "No source file was rejected." in card


def test_rejects_are_counted_by_code(speech: ShardSet) -> None:
    manifest = speech.manifest.model_copy(update={"rejects": {"undecodable": 1200}})
    assert "| undecodable | 1,200 |" in dataset_card(manifest)


def test_shards_without_a_sequence_have_no_files_to_load(speech: ShardSet) -> None:
    meta = front_matter(dataset_card(speech.manifest.model_copy(update={"splits": {}})))
    assert "configs" not in meta
