"""From the bytes of one file to samples or pen points: audio, IAM-OnDB's XML, InkML, Quick, Draw!

May import the modules at the top of `pipelines` alone. Public names, imported from their modules because audio needs
libsndfile and soxr: `decode_audio` (`audio`), `decode_ink` (`ink`).
"""
