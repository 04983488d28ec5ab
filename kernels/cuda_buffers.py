"""What the phases of the CUDA kernels hand on besides matrices: rows of `reals`, (batch, REALS, n), and
entries of `header`, (batch, HEADER)."""

# Of each column: the power of two of its scale, its position before pivoting, the factor of its reflector,
# and the fraction of its singular value.
POWERS, PERMUTATION, BETAS, SIGMA, REALS = 0, 1, 2, 3, 4
# Of each matrix: the power of two of its largest column; whether it has NaN or Inf; whether it converged,
# after how many sweeps, and the largest cosine that remains.
HIGHEST, BAD, CONVERGED, SWEEPS, OFF, HEADER = 0, 1, 2, 3, 4, 5
