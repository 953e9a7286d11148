"""`CITATION.cff` (Citation File Format 1.2.0): this software, and the paper whose comparison it repeats.

The file at the root of the repository is what this module writes without a study. JSON's strings are YAML's, so that
whatever a study is called stays one string.
"""

import json
from collections.abc import Mapping
from importlib.metadata import metadata
from typing import Any

__all__ = ["citation"]

_PACKAGE = "vrnn-bench"
_PAPER = """\
references:
  - type: conference-paper
    title: A Recurrent Latent Variable Model for Sequential Data
    authors:
      - {given-names: Junyoung, family-names: Chung}
      - {given-names: Kyle, family-names: Kastner}
      - {given-names: Laurent, family-names: Dinh}
      - {given-names: Kratarth, family-names: Goel}
      - {given-names: Aaron, family-names: Courville}
      - {given-names: Yoshua, family-names: Bengio}
    year: 2015
    collection-title: Advances in Neural Information Processing Systems 28
    identifiers:
      - {type: other, value: "arXiv:1506.02216", description: The preprint.}
"""


def citation(study: str | None = None, about: Mapping[str, Any] | None = None) -> str:
    """The citation file of this version.

    Args:
        study: whose figures are to be cited with it; None for the software alone.
        about: the study's own file, which names the commit.
    """
    package = metadata(_PACKAGE)
    use, cite = ("this software", "it") if study is None else (f"figures of the study {study}", "this software")
    fields = {
        "cff-version": "1.2.0",
        "message": f"If you use {use}, please cite {cite} and the paper whose comparison it repeats.",
        "type": "software",
        "title": _PACKAGE,
        "abstract": package["Summary"],
        "version": package["Version"],
        **_commit(about or {}),
        "license": package["License-Expression"],
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join([*lines, "authors:", f"  - name: {_PACKAGE} developers", _PAPER])


def _commit(about: Mapping[str, Any]) -> dict[str, str]:
    """The commit, where it says what ran: a checkout with changes is no commit's."""
    code = about.get("code", {})
    known = code.get("clean") == "yes" and code.get("commit")
    return {"commit": str(code["commit"])} if known else {}
