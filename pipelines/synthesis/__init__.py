"""The built-in corpora: synthetic speech and handwriting in the layouts of TIMIT and IAM-OnDB, free of any licence.

With them, `make demo` and the tests run the real adapters, decoders and checks on a machine that has neither corpus.
The sentences are this project's own, the voices are espeak-ng's, the letters are Hershey's. They are for trying the
software: scores on them say nothing about human speech or handwriting.

May import `pipelines.runtime` and the modules at the top of `pipelines`.
"""

from pipelines.synthesis.handwriting import synthesise_handwriting
from pipelines.synthesis.speech import synthesise_speech

__all__ = ["synthesise_handwriting", "synthesise_speech"]
