"""What a check found wrong: one line each, as many as anyone reads, and the count of the rest."""

from dataclasses import dataclass, field

__all__ = ["PROBLEM_LIMIT", "Findings"]

PROBLEM_LIMIT = 100
_VALUE_LIMIT = 200


@dataclass
class Findings:
    """Problems in the order in which they were found.

    Attributes:
        lines: the first `PROBLEM_LIMIT` of them.
        count: how many there are in all.
    """

    lines: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, where: str, what: str, expected: object, found: object) -> None:
        """Note one problem.

        Args:
            where: the file, and the id where it concerns one sequence.
            what: what was checked.
            expected: what was stated.
            found: what there is.
        """
        self.count += 1
        if len(self.lines) < PROBLEM_LIMIT:
            self.lines.append(f"{where}: {what}: expected {_shown(expected)}, found {_shown(found)}")

    def compare(self, where: str, what: str, expected: object, found: object) -> None:
        """Note a problem where both differ."""
        if expected != found:
            self.add(where, what, expected, found)


def _shown(value: object) -> str:
    text = " ".join(str(value).split()) or "nothing"
    return text if len(text) <= _VALUE_LIMIT else f"{text[: _VALUE_LIMIT - 3]}..."
