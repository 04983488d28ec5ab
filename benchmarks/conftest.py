"""The short form: few rounds, and provenance in pytest-benchmark's own results."""

from benchmarks.measure import provenance


def pytest_benchmark_update_machine_info(machine_info):
    machine_info["gpusvd"] = provenance()
