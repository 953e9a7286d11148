"""Samples of a model, to listen to or to look at: generated, continued or reconstructed, next to real sequences.

May import `pipelines`, `vrnn` and `benchmarks.schema`.
"""
