"""The commands, one per file; `gpusvd.__main__` calls the function `run` of each with its arguments."""
