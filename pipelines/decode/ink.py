"""From the bytes of ink to integer pen points.

The format is recognised by the bytes: a JSON object is one Quick, Draw! drawing; XML is IAM-OnDB's format or InkML,
depending on its root. The files are untrusted: entities, DTDs and external references are refused and never expanded.
Points keep what was recorded: integer coordinates with y growing downward, the time, and whether the pen is lifted
after the point. Repeated points, strokes of one point and jumps occur in real data and are kept.
"""

from pipelines.decode.iam_xml import WhiteboardReader, read_canonical
from pipelines.decode.inkml_xml import InkmlReader
from pipelines.decode.quickdraw_json import read_drawing
from pipelines.decode.xml_reader import read_xml
from pipelines.errors import RejectedSourceError
from pipelines.signals import Ink

__all__ = ["decode_ink"]

_READERS = {WhiteboardReader.ROOT: WhiteboardReader} | dict.fromkeys(InkmlReader.ROOTS, InkmlReader)
_BLANKS = b"\xef\xbb\xbf \t\r\n"


def decode_ink(content: bytes, scale: int = 1) -> Ink:
    """Read an IAM-OnDB `WhiteboardCaptureSession`, a W3C InkML document or one Quick, Draw! drawing.

    Args:
        content: the whole file, or the line of one drawing.
        scale: factor of the coordinates, 1 or more; their products must be integers.

    Raises:
        RejectedSourceError: it has none of these formats, uses a refused feature, or has no usable points.
    """
    if not content:
        raise RejectedSourceError("empty_file", "the file holds no bytes")
    if content[:1024].lstrip(_BLANKS).startswith((b"{", b"[")):
        return read_drawing(content, scale)
    canonical = read_canonical(content, scale)
    return read_xml(content, _READERS).ink(scale) if canonical is None else canonical
