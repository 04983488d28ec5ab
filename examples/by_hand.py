"""Singular values that can be worked out by hand, and what gpusvd computes.

1. A = [[3, 0], [4, 5]]. Aᵀ A = [[25, 20], [20, 25]] has the eigenvalues 25 ± 20 = 45 and 5, for (1, 1) and
   (1, -1): the singular values are 3 sqrt 5 and sqrt 5, and the first has 45 / 50 = 90 % of the energy.
2. [[1, 1], [1, 1]] = 2 u uᵀ with u = (1, 1) / sqrt 2: singular values 2 and 0, rank 1.
3. Singular values 10, 3, 1. At rank 1 the rest, 3 and 1, is lost: sqrt(9 + 1) = sqrt 10 in the Frobenius
   norm, 3 in the spectral norm, 4 in the nuclear norm.
4. Singular values 10, 4, 1.5, 0.5, 0.1. Their squares 100, 16, 2.25, 0.25 and 0.01 add up to 118.51, the
   first three to 118.25, or 99.8 %.
5. [[2, 0], [0, -1]] has the eigenvalues 2 and -1 and the singular values 2 and 1: the sign goes into the
   vectors. U Vh = [[1, 0], [0, -1]] is a reflection, and the stretch P = [[2, 0], [0, 1]] is positive.
"""

import numpy as np

import gpusvd
import gpusvd.plot
from _picture import figure, output, save

a = np.array([[3.0, 0.0], [4.0, 5.0]])
S = gpusvd.svdvals(a)
print(f"1. singular values    {S[0]:.6f} {S[1]:.6f}")
print(f"   3 sqrt 5, sqrt 5   {3 * 5**0.5:.6f} {5**0.5:.6f}")
print(f"   energy             {gpusvd.energy(S)[0]:.4f}, condition {gpusvd.cond(a):.4f}")

ones = np.ones((2, 2))
S = gpusvd.svdvals(ones)
print(f"2. singular values    {S[0]:.6f} {S[1]:.6f}, rank {gpusvd.matrix_rank(ones)}")

S = [10.0, 3.0, 1.0]
errors = [float(gpusvd.truncation_error(S, 1, norm)) for norm in ("fro", "spectral", "nuclear")]
print("3. errors at rank 1   {:.6f} {:.6f} {:.6f}".format(*errors))
print(f"   sqrt 10            {10**0.5:.6f}")

S = [10.0, 4.0, 1.5, 0.5, 0.1]
print("4. energy             " + " ".join(f"{share:.3%}" for share in gpusvd.energy(S)))
print(f"   values for 99.5 %  {gpusvd.low_rank(np.diag(S), energy=0.995).rank}")

mirror = np.array([[2.0, 0.0], [0.0, -1.0]])
U, P = gpusvd.polar(mirror)
S = gpusvd.svdvals(mirror)
print(f"5. singular values    {S[0]:.6f} {S[1]:.6f}, eigenvalues {np.linalg.eigvalsh(mirror)[::-1]}")
print(f"   U = {U.round(12).tolist()}, P = {P.round(12).tolist()}")

drawing = figure(10.5, 6.4)
for matrix, row in zip((a, mirror), drawing.subfigures(2, 1), strict=True):
    gpusvd.plot.ellipse(matrix, axes=row.subplots(1, 4))
    row.suptitle(f"A = {matrix.tolist()}")
save(drawing, output())
