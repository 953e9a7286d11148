"""Speed: every case alternates with a baseline on the same machine, in the same invocation.

May import everything but `dashboards`. The commands are `python -m benchmarks.speed.{training,scoring,data_loading,
prepare,startup,scaling}`; docs/performance.md, docs/speed.md and docs/cluster.md explain them.
"""
