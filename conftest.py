"""Which modules the doctests leave out: those whose library is not installed."""

from importlib.util import find_spec

collect_ignore = [f"gpusvd/{name}.py" for name in ("dask", "jax", "torch") if find_spec(name) is None]
