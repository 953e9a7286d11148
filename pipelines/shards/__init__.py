"""The Parquet format of prepared corpora: columns, writing, reading, index, manifest, card, checks, summaries, plots.

May import `pipelines.corpora`, `runtime` and the modules at the top of `pipelines`. Public names, imported from their
modules because `read` needs pandas: `Manifest` (`manifest`), `ShardSet` (`read`), `write_shard` (`write`),
`verify_shards` (`verify`), `summarise`, `describe` (`summary`), `write_plots` (`plots`).
"""
