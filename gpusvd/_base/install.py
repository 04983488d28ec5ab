"""The install command that error messages name."""

# With a release on PyPI: 'pip install "gpusvd[{extra}]"'; double quotes, as cmd.exe knows no others.
_INSTALL = 'pip install ".[{extra}]" in a clone of gpusvd'


def install(extra: str) -> str:
    """Return the command that installs an extra."""
    return _INSTALL.format(extra=extra)
