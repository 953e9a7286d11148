"""`CITATION.cff` (Citation File Format 1.2.0): this software, and the paper whose comparison it repeats.

The file at the root of the repository is the citation without a study. JSON strings are valid YAML strings, so that any
name of a study stays one string.
"""

import json
from importlib.metadata import metadata

from benchmarks.schema.study import StudyDescription

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


def citation(study: StudyDescription | None = None) -> str:
    """The citation file of this version.

    Args:
        study: the study whose results are cited with it; None for the software alone.
    """
    package = metadata(_PACKAGE)
    fields = {
        "cff-version": "1.2.0",
        "message": "If you use this software, please cite it and the paper whose comparison it repeats.",
        "type": "software",
        "title": _PACKAGE,
        "abstract": package["Summary"],
        "version": package["Version"],
    }
    if study is not None:
        cited = f"results of the study {study.suite.study}"
        fields["message"] = f"If you use {cited}, please cite this software and the paper whose comparison it repeats."
        if study.code.clean == "yes":  # a checkout with changes is not what the commit contains
            fields["commit"] = study.code.commit
    fields["license"] = package["License-Expression"]
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join([*lines, "authors:", f"  - name: {_PACKAGE} developers", _PAPER])
