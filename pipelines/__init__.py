"""From raw corpora to verified Parquet shards, and from shards to batches."""
