"""Every result that is written or read, defined once, as pydantic classes; and the units and estimators of scores.

Writers, readers, exports and pages use these classes. May import the configuration classes of `pipelines` and `vrnn`,
and of `benchmarks` its errors alone.
"""
