"""What the kernels of one matrix a group or block of CUDA threads hand each other, in global memory.

    A P = Q R,   L = Rᴴ = X Σ Wᴴ,   A = (Q W) Σ (P X)ᴴ

Three launches: `cuda_qr` factors, `cuda_group` or `cuda_blocked` orthogonalises, `cuda_finish` assembles. For
matrix b of the batch, m x n with m >= n:

factor[b] : m n numbers; the reflector v_j of step j is column PERMUTATION[j], entries PERMUTATION[j] m + i for
    i >= j, with v_j[j] = 1. What is above is of no use.
triangle[b] : (n, n); row j is column j of L, to be multiplied by 2**POWERS[j], and then column j of X, of
    length one or zero.
basis[b] : (n, n); row j is column j of W.
reals[b] : the vectors below, of n real numbers each.
header[b] : the numbers below.
"""

# rows of reals[b]: exponents of the columns of L, relative to HIGHEST, and then those of the singular values
# (`qr.LOWEST` for one that is zero); the column of A that each step of the factorisation has chosen; the
# reflectors are I - beta v vᴴ; the singular values, as fractions in [1/2, 1)
POWERS, PERMUTATION, BETAS, SIGMA, REALS = 0, 1, 2, 3, 4
# entries of header[b]: the exponent of the largest column of A; 1 if A has a NaN or Inf, else 0; 1 if Jacobi
# converged, else 0; sweeps taken; the largest cosine of two columns that is left
HIGHEST, BAD, CONVERGED, SWEEPS, OFF, HEADER = 0, 1, 2, 3, 4, 5
