"""`audit.json` and the leak check of `study.json` are read whole, or refused in one line that names the field."""

import json
from typing import Any

import pytest

from benchmarks.schema.audit import Audit
from benchmarks.schema.base import ResultFileError, read_file, to_json
from benchmarks.schema.study import StudyDescription
from tests.dashboards.report_cases import audit, leak
from tests.dashboards.studies import description


@pytest.mark.parametrize(
    "fault", [{"coverage": None}, {"parts": [{"name": "loud"}]}, {"not_finite": None}, {"warnings": "w"}]
)
def test_a_malformed_audit_is_refused_with_its_place(fault: dict[str, Any]):
    with pytest.raises(ResultFileError, match=rf"^run 7: audit\.json, {next(iter(fault))}") as caught:
        read_file(Audit, json.dumps(to_json(audit()) | fault).encode(), "run 7")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fault", [{"rule": 1}, {"sequences": {"fitted": 1}}, {"shared": [{"kind": "signal", "roles": ["fit"]}]}]
)
def test_a_malformed_leak_check_is_refused(fault: dict[str, Any]):
    document = to_json(description()) | {"leaks": {"a/paper": leak(**fault)}}
    with pytest.raises(ResultFileError, match=rf"^here: study\.json, leaks\.a/paper\.{next(iter(fault))}"):
        read_file(StudyDescription, json.dumps(document).encode(), "here")
