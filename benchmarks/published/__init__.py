"""Published log-likelihoods as CSV files, and the rules that say when one may be compared with a score.

May import `benchmarks.schema`, `vrnn` and `pipelines`.
"""
