"""For tests of the GPU's benchmark: what stands for other libraries, and a run with made-up numbers."""

import types

import pytest

from benchmarks.bounds import Ceilings
from benchmarks.device import assumptions, check, machine, speed
from benchmarks.device.__main__ import with_bound
from tests.support.stand_in import install


class Theirs:
    """An array of another library in GPU memory."""

    def __init__(self, data):
        self.data = data

    def __dlpack_device__(self):
        return self.data.__dlpack_device__()

    def __dlpack__(self, **options):
        return self.data.__dlpack__(**options)

    def copy(self, *_):
        return Theirs(self.data.copy())

    def address(self):
        return self.data.data.ptr

    clone, data_ptr = copy, address  # torch's
    __add__, unsafe_buffer_pointer = copy, address  # JAX's, which adds zero


def gesvdj(a, full_matrices):
    raise ValueError("too large")


OTHERS = {
    "torch": types.SimpleNamespace(from_dlpack=Theirs),
    "jax": types.SimpleNamespace(
        dlpack=types.SimpleNamespace(from_dlpack=Theirs), block_until_ready=lambda x: x
    ),
    "cupyx": types.SimpleNamespace(cusolver=types.SimpleNamespace(gesvdj=gesvdj)),
}


def made_up_run():
    """As a run on a GPU writes it, with made-up numbers."""
    limits = Ceilings(4e12, 30e12, 15e12)
    ceilings = [
        {"part": "ceilings", "what": "copy", "bytes_a_second": limits.copy},
        {
            "part": "ceilings",
            "what": "float32",
            "multiply_adds_a_second": limits.single,
            "clock_under_load": "1 MHz",
        },
        {
            "part": "ceilings",
            "what": "float64",
            "multiply_adds_a_second": limits.double,
            "clock_under_load": "1 MHz",
        },
    ]
    speed = []
    for n in (3, 8, 64):
        for dtype in ("float32", "float64"):
            for work, batch in (("thin", None), ("values", None), ("thin", 10)):
                row = {"part": "speed", "m": n, "n": n, "dtype": dtype, "work": work, "batch": batch}
                row |= {"rate": {"gpusvd": 4e8 / n**3, "cupy": 2e7 / n**3}, "sweeps": 5.0, "refused": {}}
                row |= {"batches": {"gpusvd": 1000, "cupy": 100}, "asked": 1000}
                row["accuracy"] = {"gpusvd": {"residual": 1.0}, "cupy": {"residual": 2.0}}
                speed.append(with_bound(row, limits))
    others = {"part": "speed", "m": 8, "n": 8, "dtype": "float32", "work": "thin", "batch": None}
    others |= {
        "rate": {"torch gesvdj": 1e6},
        "refused": {"jax": "ImportError: no", "cuSOLVER gesvdj": "ValueError: 64"},
        "batches": {},
        "asked": 10,
    }
    check = {
        "part": "check",
        "m": 3,
        "n": 3,
        "dtype": "float32",
        "passed": False,
        "checked": 1000,
        "errors": {"residual": None, "orthogonality U": 2.0, "orthogonality V": 2.0, "unordered": 0},
        "cpu_values": 1.0,
        "numpy_values": 1.0,
        "values_alone": 0.0,
        "sweeps_as_cpu": 1.0,
        "wrong_info": 1,
        "info_as_cpu": True,
        "same_bits": {"again": True},
    }
    return {
        "provenance": {
            "date": "2026-01-02T03:04:05+00:00",
            "commit": "abc",
            "gpusvd": "0.1",
            "machine": {
                "gpu": "Made Up 1",
                "driver": "1.2",
                "cuda_runtime": "13.0",
                "packages": {"cupy-cuda13x": "14.0"},
            },
        },
        "parts": {"speed": {"seconds": 100.0, "rows": len(speed) + 1, "left_out": [{"m": 1}]}},
        "rows": [*ceilings, check, *speed, others],
    }


SMALL = {
    "SHAPE": (2, 3, 3),
    "LARGER": (2, 3, 2),
    "ON_HOST": (4, 3, 3),
    "ALONE": (1, 2, 2),
    "OTHER_SIZES": (8,),
    "CALLS": 1,
}


def once(cupy, call, times):
    """As `event_seconds` of the benchmark, of one call."""
    return machine.event_seconds(cupy, call, 1)


def stand_in_for_this_process():
    """Put the stand-in for CuPy into its place, and make the benchmark small."""
    patch = pytest.MonkeyPatch()  # which is never undone
    install(patch)
    for module, constants in (
        (machine, {"COPIED": 1 << 12}),
        (check, {"STEP_BYTES": 0}),
        (assumptions, {**SMALL, "event_seconds": once}),
        (speed, {"ROUNDS": 2, "SAMPLE": 1e-6, "OWN_CALL": 1e6}),
    ):
        for name, value in constants.items():
            patch.setattr(module, name, value)
