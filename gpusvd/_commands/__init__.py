"""The commands, one a file: each has a function `run`, which `gpusvd.__main__` calls with its arguments."""
