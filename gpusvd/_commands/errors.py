"""Errors of the commands, and their messages."""

import importlib.util

from gpusvd._base.install import install


class CommandError(Exception):
    """A failure of a command: the message for the terminal, and the exit status."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status


def reason(error: Exception) -> str:
    """Return the message of an error, without the path, which the caller names."""
    message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(message.split()) or type(error).__name__


def need(command: str, package: str, module: str) -> None:
    """Raise CommandError unless a package of the extra `demo` is installed."""
    if importlib.util.find_spec(module) is None:
        raise CommandError(f"{command} needs {package}, which is not installed: {install('demo')}")
