"""Reading untrusted XML in one pass, without building a tree.

expat keeps its stack on the heap, so deep nesting causes no recursion. A document type declaration is refused as soon
as it begins: without one, there are no entities to expand and no external files to fetch.
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
    """Collects points from the elements of a document; a name in a namespace is `uri}name`."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Handle the start of an element; the first one is the root."""
        ...

    def end(self, name: str) -> None:
        """Handle the end of an element."""
        ...

    def text(self, text: str) -> None:
        """Handle text, which may come in pieces."""
        ...

    def ink(self, scale: int) -> Ink:
        """The collected points, at the end of the document."""
        ...


def read_xml(content: bytes, readers: Mapping[str, Callable[[], InkReader]]) -> InkReader:
    """Pass the whole document to the reader for its root element, and return the reader.

    Args:
        content: the file.
        readers: a function that makes a reader, for each name of a root element.

    Raises:
        RejectedSourceError: it is not well-formed, uses a refused feature, or has another root.
    """
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    for handler, what in _REFUSED.items():
        setattr(parser, handler, _refusal(what))
    root: str | None = None
    reader: InkReader | None = None

    def start_root(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal root, reader
        root = name
        parser.StartElementHandler = None
        if make := readers.get(name):
            reader = make()
            reader.start(name, attributes)
            parser.StartElementHandler = reader.start
            parser.EndElementHandler = reader.end
            parser.CharacterDataHandler = reader.text

    parser.StartElementHandler = start_root
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise RejectedSourceError("malformed_xml", f"not well-formed XML: {error}") from error
    if reader is None:
        known = " nor ".join(f"<{name.rpartition('}')[2]}>" for name in readers)
        raise RejectedSourceError("wrong_root", f"the root is <{shorten(root)}>, not {known}")
    return reader


def _refusal(what: str) -> Callable[..., NoReturn]:
    def refuse(*_: object) -> NoReturn:
        raise RejectedSourceError("hostile_xml", f"refused: {what}")

    return refuse
