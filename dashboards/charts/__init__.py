"""Vega-Lite specifications of the charts, as plain JSON objects that contain their data.

It may import altair, numpy and `benchmarks.schema`.
"""
