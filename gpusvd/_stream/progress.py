"""Progress reports of a stream."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gpusvd._base.install import install

Progress = bool | Callable[[int, int | None], object]


def check_progress(progress: Progress | None) -> None:
    """Raise TypeError for an invalid `progress`, and ImportError if it is True and tqdm is missing."""
    if progress is True:
        try:
            import tqdm  # noqa: F401
        except ImportError as error:
            raise ImportError(f"progress=True needs tqdm: {install('progress')}") from error
    elif progress is not None and progress is not False and not callable(progress):
        raise TypeError(
            f"progress must be True, None or a callable of (done, total), not {type(progress).__name__}"
        )


@contextmanager
def reporting(progress: Progress | None, done: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """Yield a function that reports the number of matrices done; report `done` first."""
    if progress is True:
        from tqdm.auto import tqdm  # a widget in a notebook

        with tqdm(initial=done, total=total, unit=" matrices", unit_scale=True) as bar:
            yield lambda now: bar.update(now - bar.n)
    elif callable(progress):
        call = progress
        if done:
            call(done, total)
        yield lambda now: call(now, total)
    else:
        yield lambda now: None
