"""The README's Python runs as it stands, and its links lead somewhere."""

import re
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_run() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in snippet.splitlines() if line and not line.startswith("import")]) <= 10
    names: dict[str, object] = {}
    exec(snippet, names)
    sounds = names["sounds"]
    assert isinstance(sounds, torch.Tensor)
    assert sounds.shape == (50, 2, 200)


def test_every_link_in_readme_and_docs_leads_to_a_file() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_path_that_the_architecture_names_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"(?:pipelines|vrnn|benchmarks|dashboards|tests)/[\w/]+(?:\.py)?", text))
    missing = sorted(path for path in paths if not (ROOT / path).exists())
    assert len(paths) > 40
    assert missing == []
