"""`latent.json` is read whole, or refused in one line that names the field."""

import json
from typing import Any

import pytest

from benchmarks.schema.base import ResultFileError, read_file
from benchmarks.schema.samples import LatentPath
from tests.dashboards.report.test_latent_section import document


def read(path: dict[str, Any]) -> LatentPath:
    return read_file(LatentPath, json.dumps(path).encode(), "here")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "version"),
        ({"version": True}, "version"),
        ({"kind": "video"}, "kind"),
        ({"frame_size": 0}, "frame_size"),
        ({"frame_size": "200"}, "frame_size"),
        ({"sample_rate": None}, "sample_rate belongs to speech alone"),
        ({"sample_rate": 16000.5}, "sample_rate"),
        ({"kl_nats": []}, "kl_nats"),
        ({"kl_nats": [1.0, float("nan")]}, "kl_nats"),
        ({"kl_nats": [1.0, "2"]}, "kl_nats"),
        ({"kl_nats": [1.0] * 9}, "9 values of kl_nats, but 10 of mean_change"),
        ({"mean_change": [None, None, *[1.0] * 8]}, "null after its first"),
        ({"mean_change": [-1.0] * 10}, "mean_change"),
        ({"mean_change": [float("inf")] * 10}, "mean_change"),
        ({"segments": [[0, 100, "a"], [50, 200, "b"]]}, "overlap"),
        ({"segments": [[-1, 100, "a"]]}, "segments"),
        ({"segments": [[5, 5, "a"]]}, "empty"),
        ({"segments": [[0, 100]]}, "segments"),
        ({"segments": None}, "segments"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line_that_names_it(changes: dict[str, Any], reason: str):
    with pytest.raises(ResultFileError) as refused:
        read(document(**changes))
    message = str(refused.value)
    assert message.startswith("here: latent.json")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("key", sorted(document()))
def test_a_file_that_lacks_a_key_is_refused_by_its_name(key: str):
    with pytest.raises(ResultFileError, match=key):
        read({name: value for name, value in document().items() if name != key})
