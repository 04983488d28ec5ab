"""gpusvd and its peers on the CPU: what each is called with, and what it does not take.

A contender makes from a batch and a kind of work a call without arguments, which returns (U, S, Vh) or S.
What is not installed, or takes no such matrices, raises `Refused`, with the reason. Conversions of the input
to another library's arrays are not part of the call.

- numpy: `numpy.linalg.svd`, LAPACK's gesdd for one matrix after the other, in C.
- scipy gesdd, scipy gesvd: `scipy.linalg.svd`, whose batches are a loop in Python.
- gesvj, gejsv: LAPACK's own one-sided Jacobi methods, in real precisions, of thin factors or values. gejsv is
  `scipy.linalg.lapack`'s, in a loop in Python; gesvj has no such wrapper and is called through
  `scipy.linalg.cython_lapack`, in a compiled loop.
- torch, jax: `torch.linalg.svd` and a jitted `jax.numpy.linalg.svd`, of the whole batch.
- eigen: Eigen's `JacobiSVD` with its default preconditioner, through eigenpy, in a loop in Python; of float64
  alone. It is a binding on PyPI that is kept up and has JacobiSVD.
"""

import ctypes
import importlib
import os
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np

import gpusvd
from benchmarks.measure import WORK

Call = Callable[[], Any]
# Of gejsv: accurate where columns are graded; nothing perturbed, no column set to zero.
GEJSV = {"joba": 0, "jobr": 0, "jobp": 0}


class Refused(Exception):  # noqa: N818 - it is no error
    """Why a contender does not take part."""


def ours(driver: str) -> Callable[[np.ndarray, str], Call]:
    return lambda a, work: lambda: gpusvd.svd(a, driver=driver, **WORK[work])


def numpys(a: np.ndarray, work: str) -> Call:
    return lambda: np.linalg.svd(a, **WORK[work])


def scipys(lapack_driver: str) -> Callable[[np.ndarray, str], Call]:
    def make(a: np.ndarray, work: str) -> Call:
        linalg = installed("scipy.linalg")
        options = {"lapack_driver": lapack_driver, "check_finite": False, **WORK[work]}
        return lambda: linalg.svd(a, **options)

    return make


def gejsv(a: np.ndarray, work: str) -> Call:
    lapack = installed("scipy.linalg.lapack")
    call = lapack.sgejsv if real_and_tall(a, work) == "s" else lapack.dgejsv
    vectors = work != "values"
    jobs = GEJSV | ({"jobu": 0, "jobv": 0} if vectors else {"jobu": 3, "jobv": 3})
    matrices = list(columns_first(a).mT)

    def one(matrix: np.ndarray) -> tuple[np.ndarray, ...]:
        sva, u, v, scale, _, _ = call(matrix, **jobs)
        s = sva * (scale[0] / scale[1])
        return (u, s, v.T) if vectors else (s,)

    return lambda: turned(a, vectors, [np.stack(part) for part in zip(*map(one, matrices), strict=True)])


def gesvj(a: np.ndarray, work: str) -> Call:
    kind = real_and_tall(a, work)
    installed("scipy.linalg.cython_lapack")
    loop = gesvj_loop(kind)
    vectors = work != "values"
    jobs = np.frombuffer(b"GUV" if vectors else b"GNN", np.uint8).copy()

    def call() -> Any:
        u = columns_first(a)
        if u is a or np.shares_memory(u, a):
            u = u.copy()  # it is overwritten
        count, n, m = u.shape
        s, v = np.empty((count, n), a.dtype), np.empty((count, n, n), a.dtype)
        loop(jobs, u, s, v, np.empty(max(6, m + n), a.dtype))
        return turned(a, vectors, [u.mT, s, v] if vectors else [s])

    return call


@cache
def gesvj_loop(kind: str) -> Callable[..., None]:
    """LAPACK's sgesvj or dgesvj for a batch of matrices in the order of columns."""
    import numba
    from numba.extending import get_cython_function_address

    address = get_cython_function_address("scipy.linalg.cython_lapack", f"{kind}gesvj")
    lapack = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 14)(address)

    @numba.njit
    def loop(jobs, u, s, v, work):  # type: ignore[no-untyped-def]
        count, n, m = u.shape
        size = np.array([m, n, n, len(work), 0], np.int32)  # m; n; rows of v; lwork; info
        for i in range(count):
            lapack(
                jobs[0:].ctypes,
                jobs[1:].ctypes,
                jobs[2:].ctypes,
                size[0:].ctypes,
                size[1:].ctypes,
                u[i].ctypes,
                size[0:].ctypes,
                s[i].ctypes,
                size[2:].ctypes,
                v[i].ctypes,
                size[2:].ctypes,
                work.ctypes,
                size[3:].ctypes,
                size[4:].ctypes,
            )
            if work[0] != 1:
                s[i] *= work[0]

    return loop


def real_and_tall(a: np.ndarray, work: str) -> str:
    """The letter of a real precision in LAPACK's names."""
    if a.dtype.kind == "c":
        raise Refused("SciPy has it for real matrices only")
    if work == "full":
        raise Refused("it has no full factors of this shape")
    return "s" if a.dtype == np.float32 else "d"


def columns_first(a: np.ndarray) -> np.ndarray:
    """Real matrices, wide ones transposed, in the order of columns: (count, columns, rows), C order."""
    return np.ascontiguousarray(a.mT if a.shape[-2] >= a.shape[-1] else a)


def turned(a: np.ndarray, vectors: bool, factors: list[np.ndarray]) -> Any:
    """The factors of `a` from those of the tall matrices."""
    if not vectors:
        return factors[0]
    u, s, vh = factors
    return (u, s, vh) if a.shape[-2] >= a.shape[-1] else (vh.mT, s, u.mT)


def torchs(a: np.ndarray, work: str) -> Call:
    torch = installed("torch")
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    t = torch.from_numpy(a)
    if work == "values":
        return lambda: torch.linalg.svdvals(t)
    return lambda: torch.linalg.svd(t, full_matrices=work == "full")


def jaxs(a: np.ndarray, work: str) -> Call:
    jax = installed("jax")
    jax.config.update("jax_enable_x64", True)
    x, svd = jax.device_put(a, jax.devices("cpu")[0]), jax_svd(work)
    return lambda: jax.block_until_ready(svd(x))


@cache
def jax_svd(work: str) -> Callable[..., Any]:
    """Compiled once for a shape and dtype."""
    import jax

    compiled: Callable[..., Any] = jax.jit(lambda x: jax.numpy.linalg.svd(x, **WORK[work]))
    return compiled


def eigen(a: np.ndarray, work: str) -> Call:
    eigenpy = installed("eigenpy")
    if a.dtype != np.float64:
        raise Refused("eigenpy has it for float64 only")
    options = eigenpy.DecompositionOptions
    thin = int(options.ComputeThinU) | int(options.ComputeThinV)
    full = int(options.ComputeFullU) | int(options.ComputeFullV)
    chosen = {"thin": thin, "full": full, "values": 0}[work]
    matrices = [np.asfortranarray(matrix) for matrix in a]

    def one(matrix: np.ndarray) -> tuple[np.ndarray, ...]:
        done = eigenpy.ColPivHhJacobiSVD(matrix, chosen)
        s = np.ravel(done.singularValues())
        return (done.matrixU(), s, done.matrixV().T) if chosen else (s,)

    def call() -> Any:
        factors = [np.stack(part) for part in zip(*map(one, matrices), strict=True)]
        return tuple(factors) if chosen else factors[0]

    return call


def installed(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise Refused(f"not installed: {error}") from None


OURS = {"jacobi": ours("jacobi"), "auto": ours("auto")}
PEERS: dict[str, Callable[[np.ndarray, str], Call]] = {
    "numpy": numpys,
    "scipy gesdd": scipys("gesdd"),
    "scipy gesvd": scipys("gesvd"),
    "gesvj": gesvj,
    "gejsv": gejsv,
    "torch": torchs,
    "jax": jaxs,
    "eigen": eigen,
}


def versions() -> dict[str, str]:
    """Of the peers' packages that are installed."""
    found = {}
    for name in ("scipy", "torch", "jax", "jaxlib", "eigenpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def factors(result: Any) -> tuple[np.ndarray, ...]:
    """What a contender returned, as NumPy's arrays."""
    return tuple(map(np.asarray, result)) if isinstance(result, tuple | list) else (np.asarray(result),)
