"""Can a score be trusted? Leaks between splits, and what a score consists of.

May import `benchmarks.schema`, `benchmarks.scoring`, `vrnn` and `pipelines`.
"""
