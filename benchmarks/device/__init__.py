"""Checks and measurements on a CUDA GPU: ``python -m benchmarks.device``."""
