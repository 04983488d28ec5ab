"""Up to how many columns ``driver="auto"`` is Jacobi. Written by ``python -m benchmarks.calibrate``.

``JACOBI_UP_TO[dtype, work][i]`` is the largest min(m, n), for ``max(m, n) == ASPECTS[i] * min(m, n)``, up to
which Jacobi is no slower than LAPACK from a batch of eight on; up to LEAST "auto" is Jacobi in any case. The
work is one of "full" and "thin" (vectors, with full_matrices or without), "values" (no vectors), "hermitian"
and "hermitian values", which are square and have one number. Where several machines were measured, the
smallest one counts. Values of more than RELATIVE columns come from a bidiagonal form, which is accurate
relative to the largest of them and as fast for all matrices.
"""

SIZES = (16, 32, 48, 64, 96, 128, 256)
LEAST, RELATIVE = 8, 32
ASPECTS = (1, 4, 16)

# Measured on Intel(R) Xeon(R) Processor, 2 cores, 2026-11-25.
# Measured on AMD EPYC, 2 cores, 2026-11-29.
JACOBI_UP_TO: dict[tuple[str, str], tuple[int, ...]] = {
    ("float32", "full"): (64, 16, 16),
    ("float32", "thin"): (64, 48, 16),
    ("float32", "values"): (256, 256, 48),
    ("float32", "hermitian"): (48,),
    ("float32", "hermitian values"): (128,),
    ("float64", "full"): (48, 16, 16),
    ("float64", "thin"): (48, 48, 16),
    ("float64", "values"): (256, 128, 64),
    ("float64", "hermitian"): (16,),
    ("float64", "hermitian values"): (128,),
    ("complex64", "full"): (32, 16, 16),
    ("complex64", "thin"): (48, 32, 16),
    ("complex64", "values"): (256, 96, 128),
    ("complex64", "hermitian"): (32,),
    ("complex64", "hermitian values"): (128,),
    ("complex128", "full"): (32, 16, 8),
    ("complex128", "thin"): (32, 32, 16),
    ("complex128", "values"): (256, 96, 128),
    ("complex128", "hermitian"): (16,),
    ("complex128", "hermitian values"): (128,),
}
