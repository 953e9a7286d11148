"""The study report: one module per section, each with the sentences and charts that it shows.

It may import the other folders of `dashboards`, `benchmarks.schema` and the reader in `benchmarks.store`.
"""
