"""The registry of corpora: every adapter by its name."""

from pipelines.corpora.accent import Accent
from pipelines.corpora.audio_folder import AudioFolder
from pipelines.corpora.base import Corpus
from pipelines.corpora.blizzard import Blizzard
from pipelines.corpora.iam_ondb import IamOndb
from pipelines.corpora.inkml import Inkml
from pipelines.corpora.librispeech import Librispeech
from pipelines.corpora.ljspeech import Ljspeech
from pipelines.corpora.onomatopoeia import Onomatopoeia
from pipelines.corpora.quickdraw import Quickdraw
from pipelines.corpora.timit import Timit
from pipelines.corpora.vctk import Vctk
from pipelines.errors import InputError, suggest

__all__ = ["CORPORA", "find_corpus"]

_ADAPTERS: tuple[Corpus, ...] = (
    Timit(),
    Blizzard(),
    Onomatopoeia(),
    Accent(),
    Librispeech(),
    Ljspeech(),
    Vctk(),
    AudioFolder(),
    IamOndb(),
    Inkml(),
    Quickdraw(),
)
CORPORA: dict[str, Corpus] = {corpus.name: corpus for corpus in _ADAPTERS}


def find_corpus(name: str) -> Corpus:
    """The adapter called `name`.

    Raises:
        InputError: there is none; the message names the nearest one.
    """
    if corpus := CORPORA.get(name):
        return corpus
    raise InputError(f"no corpus named {name!r}; {suggest(name, sorted(CORPORA))}")
