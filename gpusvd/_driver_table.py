"""From which batch on Jacobi is faster than LAPACK. Written by ``python -m benchmarks.calibrate``.

``JACOBI_FROM[dtype, work][i][j]`` is the smallest batch from which ``driver="jacobi"`` is the faster one for
matrices with ``min(m, n) == SIZES[j]`` and ``max(m, n) == ASPECTS[i] * min(m, n)``; ``None`` means never. The
work is one of "full" and "thin" (vectors, with full_matrices or without), "values" (no vectors), "hermitian"
and "hermitian values", which are square and have one row.
"""

SIZES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128)
ASPECTS = (1, 4, 16)

_SQUARE = (16, 16, 16, 16, 16, 16, 16, 4, 4, 4)
_ALL_ASPECTS = (_SQUARE, _SQUARE, _SQUARE)

JACOBI_FROM: dict[tuple[str, str], tuple[tuple[int | None, ...], ...]] = {
    ("float32", "full"): _ALL_ASPECTS,
    ("float32", "thin"): _ALL_ASPECTS,
    ("float32", "values"): _ALL_ASPECTS,
    ("float32", "hermitian"): (_SQUARE,),
    ("float32", "hermitian values"): (_SQUARE,),
    ("float64", "full"): _ALL_ASPECTS,
    ("float64", "thin"): _ALL_ASPECTS,
    ("float64", "values"): _ALL_ASPECTS,
    ("float64", "hermitian"): (_SQUARE,),
    ("float64", "hermitian values"): (_SQUARE,),
    ("complex64", "full"): _ALL_ASPECTS,
    ("complex64", "thin"): _ALL_ASPECTS,
    ("complex64", "values"): _ALL_ASPECTS,
    ("complex64", "hermitian"): (_SQUARE,),
    ("complex64", "hermitian values"): (_SQUARE,),
    ("complex128", "full"): _ALL_ASPECTS,
    ("complex128", "thin"): _ALL_ASPECTS,
    ("complex128", "values"): _ALL_ASPECTS,
    ("complex128", "hermitian"): (_SQUARE,),
    ("complex128", "hermitian values"): (_SQUARE,),
}
