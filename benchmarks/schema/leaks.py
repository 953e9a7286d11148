"""What the leak check found: overlap between the sequences a model is trained on, selected by and reported on."""

from typing import Literal

from benchmarks.schema.base import Count, Schema, Share

__all__ = ["LeakCheck", "Overlap", "Repeats", "Role", "SharedThing"]

Role = Literal["fit", "select", "report"]
SharedThing = Literal["signal", "source", "speaker", "group"]


class Overlap(Schema):
    """What two roles have in common.

    Attributes:
        values: distinct signals, sources, speakers or groups in both.
        sequences: sequences of each role that hold one of them.
        share: of the second role's sequences.
        examples: a few pairs of ids, one of each role.
    """

    kind: SharedThing
    roles: tuple[Role, Role]
    values: Count
    sequences: tuple[Count, Count]
    share: Share
    examples: tuple[tuple[str, str], ...]


class Repeats(Schema):
    """Sequences of one role that repeat the signal of another sequence of it, so that it counts more than once.

    Attributes:
        sequences: beyond the first of each signal.
        examples: a few pairs of ids with the same signal.
    """

    role: Role
    sequences: Count
    examples: tuple[tuple[str, str], ...]


class LeakCheck(Schema):
    """The leak check of one corpus under one protocol.

    Attributes:
        rule: the roles in a sentence.
        speakers: distinct ones that the index names, by role.
        without_speaker: sequences without a speaker in the index, by role.
        reported_that_select: reported sequences that also choose the checkpoint, by the protocol's own rule.
    """

    protocol: str
    rule: str
    sequences: dict[Role, Count]
    speakers: dict[Role, Count]
    without_speaker: dict[Role, Count]
    reported_that_select: Count
    shared: tuple[Overlap, ...]
    repeats: tuple[Repeats, ...]
    warnings: tuple[str, ...]

    def shares(self, *kinds: SharedThing) -> bool:
        """Whether the reported sequences share something of these kinds with those trained on."""
        return any(found.kind in kinds and found.roles == ("fit", "report") for found in self.shared)

    @property
    def speakers_known(self) -> bool:
        """Whether the index names a speaker for every sequence that is trained on or reported."""
        return not (self.without_speaker["fit"] or self.without_speaker["report"])
