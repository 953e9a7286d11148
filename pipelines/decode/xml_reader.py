"""Reading untrusted XML in one pass, without a tree.

expat does the parsing and keeps its own stack on the heap, so that depth costs no recursion. A document type
declaration is refused where it begins: without one there are no entities to expand and nothing outside to fetch.
"""

from collections.abc import Callable, Mapping
from typing import NoReturn, Protocol
from xml.parsers import expat

from pipelines.decode.points import shorten
from pipelines.errors import RejectedSourceError
from pipelines.signals import Ink

__all__ = ["InkReader", "read_xml"]

_REFUSED = {
    "StartDoctypeDeclHandler": "a document type declaration",
    "EntityDeclHandler": "an entity declaration",
    "UnparsedEntityDeclHandler": "an unparsed entity",
    "ExternalEntityRefHandler": "an external entity",
}


class InkReader(Protocol):
    """What gathers points from the elements of a document; a name in a namespace is `uri}name`."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins, the root among them."""
        ...

    def end(self, name: str) -> None:
        """An element ends."""
        ...

    def text(self, text: str) -> None:
        """Characters, perhaps part of a run."""
        ...

    def ink(self, scale: int) -> Ink:
        """What was gathered, once the document has ended."""
        ...


class _Dispatch:
    """Hands the elements to the reader that the root asks for; to none if no reader knows the root."""

    def __init__(self, readers: Mapping[str, Callable[[], InkReader]]) -> None:
        self.root: str | None = None
        self.reader: InkReader | None = None
        self._readers = readers

    def attach(self, parser: expat.XMLParserType) -> None:
        """Wait for the root."""

        def first(name: str, attributes: Mapping[str, str]) -> None:
            self.root = name
            parser.StartElementHandler = None
            if make := self._readers.get(name):
                self.reader = make()
                self.reader.start(name, attributes)
                parser.StartElementHandler = self.reader.start
                parser.EndElementHandler = self.reader.end
                parser.CharacterDataHandler = self.reader.text

        parser.StartElementHandler = first


def read_xml(content: bytes, readers: Mapping[str, Callable[[], InkReader]]) -> InkReader:
    """Give the whole document to the reader that its root asks for.

    Args:
        content: the file.
        readers: how to make one, by the name of the root.

    Raises:
        RejectedSourceError: it is not well-formed, uses what is refused, or has another root.
    """
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    for handler, what in _REFUSED.items():
        setattr(parser, handler, _refusal(what))
    dispatch = _Dispatch(readers)
    dispatch.attach(parser)
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise RejectedSourceError("malformed_xml", f"not well-formed XML: {error}") from error
    if dispatch.reader is None:
        known = " nor ".join(f"<{name.rpartition('}')[2]}>" for name in readers)
        raise RejectedSourceError("wrong_root", f"the root is <{shorten(dispatch.root)}>, not {known}")
    return dispatch.reader


def _refusal(what: str) -> Callable[..., NoReturn]:
    def refuse(*_: object) -> NoReturn:
        raise RejectedSourceError("hostile_xml", f"refused: {what}")

    return refuse
