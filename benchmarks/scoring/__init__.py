"""Scoring: the log-likelihood of every sequence under a trained model. `score.score` is the entry point.

May import `pipelines`, `vrnn` and `benchmarks.schema`.
"""
