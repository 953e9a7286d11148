"""Building blocks of the models: distributions, output heads, MLP, LSTM.

It may import `vrnn.scan` and `vrnn.errors`.
"""
