"""From per-sequence scores to the table, paired differences, their intervals and their tests.

May import `benchmarks.schema`; no file is read here.
"""
