"""Write `api.json`: the names and parameters of CuPy's public interface, in the versions that we support.

    python tests/support/stand_in/make_api.py PATHS_OF_13 PATHS_OF_14

Each argument is what to put on PYTHONPATH to import a version of CuPy, which needs no GPU for that: the
folder of an unpacked wheel, say, and one with fastrlock, separated by colons.
"""

import inspect
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

MODULES = ("cupy", "cupy.linalg", "cupy.random", "cupy.cuda", "cupy.cuda.runtime", "cupy.cuda.driver")
CLASSES = (
    "cupy.ndarray",
    "cupy.RawKernel",
    "cupy.RawModule",
    "cupy.random.RandomState",
    *(
        f"cupy.cuda.{name}"
        for name in (
            "Device",
            "Event",
            "ExternalStream",
            "Graph",
            "MemoryPointer",
            "MemoryPool",
            "PinnedMemoryPointer",
            "Stream",
        )
    ),
)


def main(paths):
    found = {}
    for path in paths:
        command = [sys.executable, "-P", __file__]  # not the modules beside this one
        environment = os.environ | {"PYTHONPATH": path}
        answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        version, names = json.loads(answer)
        found[version] = names
    owners = {
        owner: {
            name: merged(
                {version: names[owner][name] for version, names in found.items() if name in names[owner]},
                len(found),
            )
            for name in sorted(set().union(*(names[owner] for names in found.values())))
        }
        for owner in (*MODULES, *CLASSES)
    }
    lines = ",\n".join(
        f'"{owner}": {{\n'
        + ",\n".join(f'"{name}": {json.dumps(said)}' for name, said in names.items())
        + "\n}"
        for owner, names in owners.items()
    )
    Path(__file__).with_name("api.json").write_text(f"{{\n{lines}\n}}\n")


def merged(by_version, versions):
    """What all versions say of a name, or what each says."""
    said = list(by_version.values())
    return said[0] if len(said) == versions and said.count(said[0]) == versions else by_version


def names_of_this_version():
    """The version, 13.6 say, and by owner and name the parameters; None where something takes none or does
    not say them."""
    import cupy

    version = ".".join(cupy.__version__.split(".")[:2])
    return version, {owner: names_of(owner) for owner in (*MODULES, *CLASSES)}


def names_of(owner):
    if owner in MODULES:
        described = import_module(owner) if owner.count(".") < 2 else attribute(owner)
    else:
        described = attribute(owner)
    names = {name for name in dir(described) if not name.startswith("_") or is_operator(owner, name)}
    if owner == "cupy.cuda.runtime":  # and not its hundreds of constants
        names = {name for name in names if callable(getattr(described, name))}
    found = {name: parameters(getattr(described, name)) for name in sorted(names)}
    if isinstance(described, type):
        found["__init__"] = parameters(described)
        if owner.endswith("Stream"):
            found |= {"ptr": None, "device_id": None}  # of each instance
    return found


def is_operator(owner, name):
    return owner in CLASSES and re.fullmatch(r"__\w+__", name) and name not in vars(object)


def attribute(path):
    import cupy

    found = cupy
    for part in path.split(".")[1:]:
        found = getattr(found, part)
    return found


def parameters(x):
    if not callable(x):
        return None
    try:
        return [name for name in inspect.signature(x).parameters if name not in ("self", "cls")]
    except (TypeError, ValueError):
        return documented(x)


def documented(x):
    """The parameters that the first line of a docstring names, as Cython and CuPy's ufuncs write them."""
    line = (x.__doc__ or "").strip().splitlines()[:1]
    signature = re.match(r"[\w.]+\((.*?)\)( -> .*)?$", line[0]) if line else None
    if signature is None:
        return None
    inside = re.sub(r"\([^()]*\)", "", signature[1])  # of defaults
    parts = [part.split("=")[0].strip(" \\") for part in inside.split(",")]
    names = [part.split()[-1].lstrip("*") for part in parts if part not in ("", "/", "*")]
    return [name for name in names if name != "self"]


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1:])
    else:
        print(json.dumps(names_of_this_version()))
