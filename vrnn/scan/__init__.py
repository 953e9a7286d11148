"""The fast time loop: operations, backward pass, packed weights, CUDA graphs, Triton kernels.

It imports torch alone.
"""
