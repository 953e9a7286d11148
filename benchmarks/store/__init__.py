"""Results: on disk, which is the truth, and in MLflow, which gets a copy.

May import `benchmarks.schema`, and of `vrnn` and `pipelines` what files need. MLflow is imported in this folder alone.
`results` and `locate` do without it, so that a study on disk opens quickly.
"""
