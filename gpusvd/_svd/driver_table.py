"""From which batch on Jacobi is faster than LAPACK. Written by ``python -m benchmarks.calibrate``.

``JACOBI_FROM[dtype, work][i][j]`` is the smallest batch from which ``driver="jacobi"`` is the faster one for
matrices with ``min(m, n) == SIZES[j]`` and ``max(m, n) == ASPECTS[i] * min(m, n)``; ``None`` means never. A
matrix alone goes to LAPACK: it is not worth compiling for. The work is one of "full" and "thin" (vectors,
with full_matrices or without), "values" (no vectors), "hermitian" and "hermitian values", which are square
and have one row. Where several machines were measured, LAPACK stays where it was the faster one on any.
"""

SIZES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 256)
ASPECTS = (1, 4, 16)

# Measured on AMD EPYC, 2 cores, 2026-11-25.
# Measured on Intel(R) Xeon(R) Processor, 2 cores, 2026-11-25.
JACOBI_FROM: dict[tuple[str, str], tuple[tuple[int | None, ...], ...]] = {
    ("float32", "full"): (
        (4, 2, 2, 2, 2, 4, 4, 8, 16, 16, None),
        (16, 2, 2, 2, 4, 2, 16, 32, None, 2, 2),
        (2, 2, 2, 2, 4, 8, None, 2, 2, 2, None),
    ),
    ("float32", "thin"): (
        (2, 2, 2, 2, 2, 4, 4, 8, 16, 16, None),
        (2, 2, 2, 2, 2, 4, 8, 16, 16, 2, 2),
        (2, 8, 2, 4, 8, 16, 16, 2, 2, 2, None),
    ),
    ("float32", "values"): (
        (16, 4, 4, 2, 2, 2, 2, 4, 4, 4, 8),
        (8, 8, 2, 2, 4, 4, 8, 4, 8, 8, 2),
        (8, 8, 4, 64, 8, 4, 8, 16, 16, 2, None),
    ),
    ("float32", "hermitian"): ((2, 2, 2, 2, 2, 4, 8, 16, 16, 32, None),),
    ("float32", "hermitian values"): ((None, 128, 32, 8, 4, 4, 4, 4, 4, 8, None),),
    ("float64", "full"): (
        (4, 8, 2, 2, 2, 4, 4, 8, 16, None, None),
        (2, 2, 2, 2, 4, 4, 16, None, None, 2, 2),
        (2, 2, 2, 2, 2, 8, None, 2, 2, 2, None),
    ),
    ("float64", "thin"): (
        (2, 2, 2, 2, 2, 4, 4, 8, 16, None, None),
        (8, 2, 2, 2, 4, 4, 8, 16, None, None, None),
        (2, 2, 2, 4, 8, 16, None, 2, None, None, None),
    ),
    ("float64", "values"): (
        (16, 8, 4, 2, 2, 2, 2, 4, 4, 4, 8),
        (16, 8, 4, 2, 32, 4, 8, 4, 8, 8, None),
        (4, 8, 2, 4, 8, 4, 8, 8, 16, 2, None),
    ),
    ("float64", "hermitian"): ((None, 64, 2, 2, 2, 32, 8, 64, None, None, None),),
    ("float64", "hermitian values"): ((None, 256, 32, 8, 4, 32, 4, 4, 8, 8, None),),
    ("complex64", "full"): (
        (2, 2, 2, 2, 4, 4, 8, 16, 32, None, None),
        (2, 2, 2, 2, 4, 8, 16, None, 2, 2, 2),
        (2, 2, 2, 2, 4, 16, 2, 2, 2, 2, None),
    ),
    ("complex64", "thin"): (
        (2, 2, 2, 2, 2, 4, 8, 16, 32, None, None),
        (2, 2, 2, 2, 4, 8, 16, 16, 2, 2, 2),
        (2, 2, 2, 4, 4, 16, 2, 2, 2, 2, None),
    ),
    ("complex64", "values"): (
        (16, 4, 2, 2, 2, 2, 4, 4, 4, 4, 8),
        (8, 4, 2, 2, 2, 4, 4, 4, 8, None, 2),
        (8, 4, 2, 4, 4, 4, 8, 8, 2, 2, None),
    ),
    ("complex64", "hermitian"): ((2, 2, 2, 2, 4, 8, 16, 16, 32, None, None),),
    ("complex64", "hermitian values"): ((None, 64, 16, 8, 4, 4, 4, 4, 8, 8, None),),
    ("complex128", "full"): (
        (8, 2, 2, 2, 4, 8, 16, 16, None, None, None),
        (2, 2, 2, 2, 4, 16, 16, None, 2, 2, None),
        (2, 2, 2, 2, 8, None, 2, 2, 2, 2, None),
    ),
    ("complex128", "thin"): (
        (4, 2, 2, 2, 4, 8, 16, 16, None, None, None),
        (2, 2, 2, 2, 4, 8, 16, None, None, None, None),
        (2, 4, 2, 4, 4, None, 2, 2, None, 2, None),
    ),
    ("complex128", "values"): (
        (8, 8, 4, 2, 2, 2, 4, 4, 4, 4, 8),
        (8, 4, 2, 2, 4, 4, 4, 4, 8, None, None),
        (8, 2, 4, 4, 4, 4, 8, 8, 2, 2, None),
    ),
    ("complex128", "hermitian"): ((None, 2, 2, 2, 4, 16, 32, None, None, None, None),),
    ("complex128", "hermitian values"): ((None, 128, 32, 8, 8, 32, 4, 8, 8, 8, None),),
}
