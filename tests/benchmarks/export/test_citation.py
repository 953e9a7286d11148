from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.export.citation import citation
from tests.benchmarks.export_cases import study_description

KEYS = {
    "cff-version",
    "message",
    "type",
    "title",
    "abstract",
    "version",
    "commit",
    "license",
    "authors",
    "references",
}
REFERENCE_KEYS = {"type", "title", "authors", "year", "collection-title", "identifiers"}


def check_citation(text: str) -> dict[str, Any]:
    """Check it against CFF 1.2.0: required keys and their types."""
    read = yaml.safe_load(text)
    assert {"cff-version", "message", "title", "authors"} <= read.keys() <= KEYS
    assert read["cff-version"] == "1.2.0"
    assert all(isinstance(read[key], str) and read[key] for key in KEYS - {"authors", "references", "commit"})
    assert read["authors"] == [{"name": "vrnn-bench developers"}]
    (reference,) = read["references"]
    assert {"authors", "title", "type"} <= reference.keys() <= REFERENCE_KEYS
    assert reference["type"] == "conference-paper"
    assert isinstance(reference["year"], int)
    assert all(person.keys() == {"given-names", "family-names"} for person in reference["authors"])
    assert all(other.keys() == {"type", "value", "description"} for other in reference["identifiers"])
    return read


def test_the_citation_names_software_paper_and_study() -> None:
    read = check_citation(citation(study_description()))
    assert "study_1" in read["message"]
    assert (read["license"], read["commit"]) == ("Apache-2.0", "c" * 40)
    families = [person["family-names"] for person in read["references"][0]["authors"]]
    assert families == ["Chung", "Kastner", "Dinh", "Goel", "Courville", "Bengio"]


def test_a_changed_checkout_cites_no_commit() -> None:
    study = study_description()
    changed = study.model_copy(update={"code": study.code.model_copy(update={"clean": "no"})})
    assert "commit" not in check_citation(citation(changed))
    assert "commit" not in check_citation(citation())


def test_the_repository_has_the_same_citation() -> None:
    kept = (Path(__file__).parents[3] / "CITATION.cff").read_text()
    assert kept == citation(), "write benchmarks.export.citation.citation() to CITATION.cff"
    assert "study" not in kept
    check_citation(kept)


@given(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z"))
@settings(max_examples=20, deadline=None)
def test_any_study_can_be_cited(name: str) -> None:
    study = study_description()
    renamed = study.model_copy(update={"suite": study.suite.model_copy(update={"study": name})})
    assert f" {name}," in check_citation(citation(renamed))["message"]
