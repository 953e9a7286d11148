"""From the bytes of ink to integer pen points.

The bytes tell the format: a JSON object is one Quick, Draw! drawing, XML is IAM-OnDB's or InkML by its root. The
files are untrusted: entities, DTDs and external references are refused, never expanded. Points keep what was recorded:
integer coordinates with y growing downward, the time stamp, and whether the pen leaves the board after the point.
Repeated points, one-point strokes and jumps are in the real data and stay.
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
        content: the whole of it.
        scale: what coordinates are multiplied by, 1 or more; they must be integers then.

    Raises:
        RejectedSourceError: it is neither, uses what is refused, or holds no usable points.
    """
    if not content:
        raise RejectedSourceError("empty_file", "the file holds no bytes")
    if content[:1024].lstrip(_BLANKS).startswith((b"{", b"[")):
        return read_drawing(content, scale)
    canonical = read_canonical(content, scale)
    return read_xml(content, _READERS).ink(scale) if canonical is None else canonical
