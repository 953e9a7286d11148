"""A trial: its task, how it is run, the executors that run many of them, and the events that they publish.

May import all of `benchmarks` but `study` and `cli`; nothing here imports MLflow.
"""
