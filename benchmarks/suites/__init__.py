"""Suites: the shipped TOML files, and how a suite is read and expanded to trials.

May import `benchmarks.schema`, `vrnn` and `pipelines`.
"""
