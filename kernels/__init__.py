"""Numba kernels of the batched SVD: numbers in preallocated buffers, nothing allocated, nothing validated."""
