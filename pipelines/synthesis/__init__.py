"""The built-in corpora: synthetic speech and handwriting in the genuine raw layouts, free of any licence.

They exist so that `make demo` and the tests run the same adapters, decoders and checks that TIMIT and
IAM-OnDB go through, on a machine that has neither. The sentences are this project's own; the voices are
espeak-ng's, the letters Hershey's. They are for trying the software: a figure measured on them says nothing
about human speech or handwriting.
"""

from pipelines.synthesis.handwriting import synthesise_handwriting
from pipelines.synthesis.speech import synthesise_speech

__all__ = ["synthesise_handwriting", "synthesise_speech"]
