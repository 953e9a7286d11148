"""Downloads of the corpora that anyone may fetch: verified, resumable, unpacked safely.

May import `pipelines.errors` alone.
"""

from pipelines.download.fetch import Part, Source, choose_parts, fetch_archive, find_source, is_unpacked, unpack
from pipelines.download.transfer import check_url

__all__ = ["Part", "Source", "check_url", "choose_parts", "fetch_archive", "find_source", "is_unpacked", "unpack"]
