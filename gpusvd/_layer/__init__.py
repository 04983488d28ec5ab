"""Functions built on the SVD, in array code without kernels."""
