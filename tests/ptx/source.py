"""PTX of the library's kernels, kept on disk beside their machine code: compiling takes longer than a run."""

import tempfile
from pathlib import Path

from gpusvd._base.cache import cache_folder, write_whole
from gpusvd._cuda import launch
from gpusvd._cuda.launch import ptx  # which tests replace there
from tests.cuda_compile import compiler

CAPABILITY = "90"


def source(kernel, kind, signature):
    """The PTX of a kernel: compiled now, by one process only, unless it is on disk."""
    import fcntl  # not on Windows, where nothing compiles

    name = f"{kernel.function.__name__}-{kind}-{launch._hash(kernel, signature)}.ptx"
    path = (cache_folder(launch._SOURCES) or Path(tempfile.mkdtemp(prefix="gpusvd-"))) / name
    if not path.exists():
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                with compiler.device_of((int(CAPABILITY[:-1]), int(CAPABILITY[-1]))):
                    text = ptx(kernel.compiled, kind, signature, CAPABILITY)
                write_whole(path, text.encode())
    return path.read_text()
