"""The table of costs in the repository: read, written and compared with."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import repeat
from pathlib import Path

from .compiler import version
from .cost import ARCHITECTURES, cost
from .registry import cuda_kernels

PATH = Path(__file__).parents[1] / "cuda_budgets.json"
# What another release of the compiler may change: registers by an allocation's step, instructions by their
# twentieth. Spills, local and shared memory, and double precision where there was none, not at all.
REGISTERS, INSTRUCTIONS = 8, 1.05


def read():
    return json.loads(PATH.read_text(encoding="utf-8"))


def row(kernel, arch):
    """What the table holds of a kernel on an architecture."""
    measured = asdict(cost(kernel, arch))
    measured["clocks"] = round(measured["clocks"], 2)
    measured["code"] = {"all": sum(measured["code"].values())} | dict(sorted(measured["code"].items()))
    measured["loop"] = {"all": sum(measured["loop"].values())} | dict(sorted(measured["loop"].items()))
    del measured["place"]  # lines move
    if kernel.rotations:
        measured["clocks_a_rotation"] = round(measured["clocks"] / (32 * kernel.rotations), 3)
    return measured


def rows_of(name, architectures):
    """The rows of a kernel, one after the other: what numba compiles for one, it has for the others."""
    kernel = next(kernel for kernel in cuda_kernels() if kernel.name == name)
    return {arch: row(kernel, arch) for arch in architectures}


def rows(kernels, architectures=ARCHITECTURES):
    """The rows of these kernels by name and architecture, compiled on all cores."""
    names = [kernel.name for kernel in kernels]
    with ProcessPoolExecutor() as pool:
        yield from zip(names, pool.map(rows_of, names, repeat(architectures)), strict=True)


def write(kernels):
    """Compile these kernels and write them into the table; keep the rows of the others, and drop those of
    kernels that no longer exist."""
    old = read()["kernels"] if PATH.exists() else {}
    names = [kernel.name for kernel in cuda_kernels()]
    table = {name: old[name] for name in names if name in old}
    table |= rows(kernels)
    lines = [
        f"    {json.dumps(name)}: {{\n"
        + ",\n".join(f"      {json.dumps(arch)}: {json.dumps(table[name][arch])}" for arch in table[name])
        + "\n    }"
        for name in names
        if name in table
    ]
    tools = json.dumps({name: version(name) for name in ("ptxas", "nvdisasm")})
    text = f'{{\n  "tools": {tools},\n  "kernels": {{\n' + ",\n".join(lines) + "\n  }\n}\n"
    PATH.write_text(text, encoding="utf-8")


def worse(measured, allowed):
    """What of a row is worse than the table allows, in words."""
    limits = {name: allowed[name] for name in ("spill_stores", "spill_loads", "local", "shared")}
    limits["registers"] = allowed["registers"] + REGISTERS
    found = [f"{name} {measured[name]} > {limit}" for name, limit in limits.items() if measured[name] > limit]
    for part in ("code", "loop"):
        for kind in ("double", "local"):
            if measured[part].get(kind, 0) and not allowed[part].get(kind, 0):
                found.append(f"{kind} instructions in the {part}: {measured[part][kind]}, none in the table")
        limit = INSTRUCTIONS * allowed[part]["all"] + 8
        if measured[part]["all"] > limit:
            found.append(f"instructions in the {part}: {measured[part]['all']} > {limit:.0f}")
    return found


def broken_promises(kernel, measured, arch):
    """What a row has that its kernel promises not to, in words."""
    kept = {"spill_stores", "spill_loads", "local"} if arch in kernel.stays_in_registers else set()
    found = [f"{name} {measured[name]}" for name in sorted(kept) if measured[name]]
    if kernel.is_single and measured["code"].get("double", 0):
        found.append(f"{measured['code']['double']} instructions in double precision")
    return found
