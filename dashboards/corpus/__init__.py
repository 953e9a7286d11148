"""The corpus report, and the corpus cards of the study report.

It may import `charts`, `media` and `benchmarks.schema`.
"""
