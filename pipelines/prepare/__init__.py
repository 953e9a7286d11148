"""From raw corpora to shards: the plan, one task for each shard, protection against bad files, the driver, Ray.

May import `pipelines.corpora`, `decode`, `shards`, `runtime` and the modules at the top of `pipelines`. Public names,
imported from their modules because Ray is slow to import: `prepare`, `PrepareOptions`, `PrepareResult` (`driver`),
`run_shard_task` (`shard_task`), `run_on_ray` (`ray_runner`).
"""
