"""The live page of a running study, and the local server behind `vrnn-bench ui`.

It may import `charts`, `media`, `benchmarks.schema` and the reader in `benchmarks.store`.
"""
