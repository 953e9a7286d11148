"""Samples of a model, to hear or to see: generated, continued or reconstructed, next to real sequences.

May import `pipelines`, `vrnn` and `benchmarks.schema`.
"""
