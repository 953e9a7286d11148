"""From raw corpora to verified Parquet shards, and from shards to batches.

The folders are layers; each imports only from those below it:

    export, batches, prepare                    shards to other formats, shards to tensors, raw files to shards
    shards                                      the Parquet format: columns, manifest, index, reading, checks
    corpora, decode, synthesis, download        raw files: listed, decoded, made, fetched
    runtime                                     storage, locks, Ray sessions, messages
    signals, randomness, errors

Nothing here imports another package of the project.
"""
