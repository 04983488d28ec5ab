"""The pictures in docs/benchmarks/ from committed runs: growth from the ceilings', and accuracy.

A picture carries the name of the file that it was drawn from, and is drawn anew when another is the newest.
"""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import CONTENDERS, DTYPES, GROUPS, chosen

LOW = 0.03  # eps; what is below lies there
SOURCE = "Source"  # the key in the picture's metadata
COLOURS = dict(zip(CONTENDERS, ("black", "tab:red", "tab:green", "tab:blue", "tab:orange"), strict=True))

Document = Any


def growth(run: Document) -> Any:
    """Microseconds of a matrix against n beside n³, and seconds of a batch against its size beside a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    by_size, by_batch = figure.subplots(1, 2)
    sizes = [row for row in run["rows"] if row["section"] == "size" and row["work"] == "thin"]
    for dtype in dict.fromkeys(row["dtype"] for row in sizes):
        mine = [row for row in sizes if row["dtype"] == dtype]
        n = np.array([row["n"] for row in mine])
        times = [1e6 * row["seconds"]["jacobi"]["p50"] / row["batch"] for row in mine]
        by_size.loglog(n, times, "o-", markersize=3, label=dtype)
        if dtype == mine[-1]["dtype"] == sizes[-1]["dtype"]:
            by_size.loglog(n, times[-1] * (n / n[-1]) ** 3.0, "k:", label="n³")
    by_size.set(xlabel="n", ylabel="microseconds a matrix", title='thin SVD of n × n, driver="jacobi"')
    batches = [row for row in run["rows"] if row["section"] == "batch" and row["dtype"] == "float32"]
    for size in dict.fromkeys(row["n"] for row in batches):
        mine = [row for row in batches if row["n"] == size]
        count = np.array([row["batch"] for row in mine])
        times = [row["seconds"]["jacobi"]["p50"] for row in mine]
        by_batch.loglog(count, times, "o-", markersize=3, label=f"{size} × {size}")
        by_batch.loglog(count, times[-1] * count / count[-1], "k:", linewidth=1)
    by_batch.set(xlabel="matrices", ylabel="seconds", title="float32; dotted: linear")
    for axes in (by_size, by_batch):
        axes.legend()
        axes.grid(alpha=0.3)
    return figure


def accuracy(run: Document) -> Any:
    """Errors in ascending order: the share of matrices, or of singular values, that are below a height.

    What is wrong altogether is cut at 10 / eps; an error of a singular value taken for zero is 1 / eps.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True)
    kinds = [
        ("residual", GROUPS[0]),
        ("orthogonality", GROUPS[0]),
        *(("relative", group) for group in GROUPS),
    ]
    for (row, dtype), (column, (what, group)) in product(enumerate(DTYPES), enumerate(kinds)):
        axes = panels[row, column]
        wrong = 10 / float(np.finfo(dtype).eps)  # no digit is right from 1 / eps on
        for contender in CONTENDERS:
            good = [
                r
                for r in chosen(run["rows"], dtype, group)
                if r["contender"] == contender and "failed" not in r
            ]
            if good:
                errors = np.sort(np.hstack([r[what] for r in good]))
                share = (np.arange(len(errors)) + 0.5) / len(errors)
                label = 'gpusvd, driver="jacobi"' if contender == "jacobi" else contender
                axes.semilogy(share, np.clip(errors, LOW, wrong), color=COLOURS[contender], label=label)
        axes.grid(alpha=0.3)
        name = "relative error of singular values" if what == "relative" else what
        axes.set_title(f"{dtype}: {name},\n{group}", fontsize=9)
    for axes in panels[1]:
        axes.set_xlabel("share")
    for axes in panels[:, 0]:
        axes.set_ylabel("eps")
    panels[0, 0].legend(fontsize=7)
    return figure


FIGURES: dict[str, tuple[str, Callable[[Document], Any]]] = {
    "growth.png": ("ceilings", growth),
    "accuracy.png": ("accuracy", accuracy),
}


def drawn_from(path: Path) -> str:
    """The name of the run that a picture was drawn from; nothing where there is no picture."""
    from PIL import Image

    if not path.exists():
        return ""
    with Image.open(path) as picture:
        return str(picture.info.get(SOURCE, ""))


def draw(path: Path, source: str, run: Document) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    FIGURES[path.name][1](run).savefig(path, dpi=90, metadata={SOURCE: source, "Software": None})
