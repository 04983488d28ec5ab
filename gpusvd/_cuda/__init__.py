"""The Jacobi kernels and cuSOLVER on a GPU."""
