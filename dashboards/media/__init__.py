"""Sounds and drawings in a form that a page can contain: players, waveforms, spectrograms, pen strokes.

It may import torch, torchaudio, soundfile and `benchmarks.schema`.
"""
