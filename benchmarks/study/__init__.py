"""A study as a whole: run it, sum it up, estimate it before it runs, compare it with another, reproduce a trial of it.

May import all of `benchmarks` but `cli` and `speed`.
"""
