"""The machine that a model runs on: device, precision, memory, operation counts.

It may import `vrnn.nn` and `vrnn.scan`.
"""
