"""Exports of shards to the formats of other tools: Lhotse, Hugging Face audio, WebDataset.

May import `pipelines.shards`, `pipelines.runtime` and the modules at the top of `pipelines`.
"""

from pipelines.export.export_record import ExportedSplit
from pipelines.export.export_shards import FORMATS, export

__all__ = ["FORMATS", "ExportedSplit", "export"]
