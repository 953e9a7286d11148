"""The pages that show results: the study report, the corpus report and the live page.

It may import `benchmarks.schema` and the reader in `benchmarks.store`, and nothing else of the project.
"""
