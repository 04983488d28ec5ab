"""What CuPy exports, by version, from `api.json`, which `make_api.py` writes."""

import functools
import json
from pathlib import Path

VERSIONS = ("13.6", "14.2")


class Api:
    """The public names of a version of CuPy, and of their parameters; of "both", what both have."""

    def __init__(self, version):
        self.versions = VERSIONS if version == "both" else (version,)

    def has(self, owner, name):
        return all(name in _names(version)[owner] for version in self.versions)

    def parameters(self, owner, name):
        """The parameters of a function; None where CuPy does not say them."""
        said = [_names(version)[owner][name] for version in self.versions]
        if any(one is None for one in said):
            return None
        return [parameter for parameter in said[0] if all(parameter in one for one in said)]

    def check_call(self, owner, name, options):
        """Raise TypeError for a keyword argument that CuPy does not have."""
        parameters = self.parameters(owner, name)
        for option in options:
            if parameters is not None and option not in parameters:
                raise TypeError(f"{owner}.{name} has no parameter {option!r} in CuPy {self.versions}")


@functools.cache
def _names(version):
    """Parameters by owner and name."""
    written = json.loads(Path(__file__).with_name("api.json").read_text())
    return {
        owner: {
            name: said.get(version) if isinstance(said, dict) else said
            for name, said in names.items()
            if not isinstance(said, dict) or version in said
        }
        for owner, names in written.items()
    }
