"""What a command says when it cannot go on."""

import importlib.util


class CommandError(Exception):
    """Why a command did not come to its end, for the person at the terminal, and the exit status."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status


def reason(error: Exception) -> str:
    """Return what an error says, without the path that the caller names anyway."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(said.split()) or type(error).__name__


def need(command: str, package: str, module: str) -> None:
    """Raise CommandError unless a package of the extra `demo` is installed."""
    if importlib.util.find_spec(module) is None:
        raise CommandError(f"{command} needs {package}, which is not installed: pip install 'gpusvd[demo]'")
