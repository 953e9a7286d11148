"""The files of an IAM-OnDB form, with the same bytes as the original would have.

Stroke files are ISO-8859-1 XML, in which lines with points end in CR LF and all others in LF; transcriptions use CR LF.
The description of the whiteboard holds the corners of the line's bounding box.
"""

from collections.abc import Sequence

import numpy as np

from pipelines.synthesis.pen_motion import Stroke

__all__ = ["encode_line", "encode_transcription"]


def encode_line(strokes: Sequence[Stroke], start_sample: int) -> bytes:
    """Encode one line of writing.

    Args:
        strokes: at least one, each with at least one point.
        start_sample: time at which the line begins, in samples.
    """
    points = np.concatenate([stroke.points for stroke in strokes])
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    body = "".join(_stroke(stroke, start_sample) for stroke in strokes)
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
        "<WhiteboardCaptureSession>\n"
        "  <WhiteboardDescription>\n"
        '    <SensorLocation corner="top_left"/>\n'
        f'    <DiagonallyOppositeCoords x="{right}" y="{bottom}"/>\n'
        f'    <VerticallyOppositeCoords x="{left}" y="{bottom}"/>\n'
        f'    <HorizontallyOppositeCoords x="{right}" y="{top}"/>\n'
        "  </WhiteboardDescription>\n"
        f"  <StrokeSet>\n{body}  </StrokeSet>\n"
        "</WhiteboardCaptureSession>\n"
    ).encode("iso-8859-1")


def _stroke(stroke: Stroke, start: int) -> str:
    first = start + stroke.first_sample
    # A sample takes 15 ms, one and a half centiseconds; times are rounded down.
    centiseconds = [3 * sample // 2 for sample in range(first, first + len(stroke.points))]
    times = [f"{time // 100}.{time % 100:02d}" for time in centiseconds]
    points = "".join(
        f'      <Point x="{x}" y="{y}" time="{time}"/>\r\n'
        for (x, y), time in zip(stroke.points.tolist(), times, strict=True)
    )
    opening = f'    <Stroke colour="black" start_time="{times[0]}" end_time="{times[-1]}">\n'
    return f"{opening}{points}    </Stroke>\n"


def encode_transcription(lines: Sequence[str]) -> bytes:
    """Encode the text of a form, one text line for each stroke file."""
    return "\r\n".join(["OCR:", "", "CSR:", "", *lines, ""]).encode("iso-8859-1")
