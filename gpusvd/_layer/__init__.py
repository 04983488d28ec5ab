"""What is built on the SVD: array code without kernels."""
