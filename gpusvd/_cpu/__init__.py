"""The Jacobi kernels and LAPACK on the cores of the CPU."""
