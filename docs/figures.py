"""Draw the figures of the site: `python docs/figures.py`, from the repository's root, two minutes.

The tutorial's are drawn by the code on its page, which is run as it stands there. The accuracy figure and the
numbers beside it are measured here; `accuracy.json` keeps them with where they come from.
"""

import doctest
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mpmath
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import gpusvd  # noqa: E402
from benchmarks.measure import provenance  # noqa: E402
from tests.support import gallery, measures  # noqa: E402

FIGURES = ROOT / "docs" / "figures"
TUTORIAL = {"tutorial-spectrum": "spectrum", "tutorial-strip": "strip", "tutorial-patches": "patches"}
DRIVERS = {"jacobi": "jacobi", "LAPACK": "vendor"}
COUNT, N, BITS = 20, 16, 6.5  # graded matrices, their size, bits from a column to the next


def main() -> None:
    mpl.use("agg")
    mpl.rcParams.update({"font.size": 9, "svg.hashsalt": "gpusvd"})
    FIGURES.mkdir(exist_ok=True)
    draw_tutorial()
    save(accuracy_figure(), "accuracy", "svg")
    document = {"provenance": provenance(), "rows": quality()}
    (FIGURES / "accuracy.json").write_text(json.dumps(document, indent=1) + "\n")


def save(figure: Figure, name: str, kind: str) -> None:
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(FIGURES / f"{name}.{kind}", dpi=120, metadata=metadata)


def draw_tutorial() -> None:
    """Run the examples of the tutorial in order, and save the figures that they name."""
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples(page):
        if example.exc_msg is None:
            exec(compile(example.source, "tutorial.md", "exec"), names)
    for name, variable in TUTORIAL.items():
        save(np.ravel(names[variable])[0].figure, name, "png")
        with Image.open(FIGURES / f"{name}.png") as image:
            small = image.convert("RGB").quantize(128)
        small.save(FIGURES / f"{name}.png", optimize=True)


def graded() -> tuple[np.ndarray, np.ndarray, float]:
    """Integer matrices with columns scaled by powers of two, their singular values by mpmath, and eps times
    the largest condition of the unscaled ones, in units of eps."""
    rng = np.random.default_rng(0)
    b = np.round(64 * rng.standard_normal((COUNT, N, N)))
    powers = -np.stack([rng.permutation(np.round(BITS * np.arange(N))) for _ in range(COUNT)])
    a = b * 2.0 ** powers[:, np.newaxis, :]
    with mpmath.workprec(400):
        exact = [sorted(map(float, mpmath.svd_r(mpmath.matrix(x.tolist()), compute_uv=False))) for x in a]
    condition = np.linalg.cond(b / np.linalg.norm(b, axis=1, keepdims=True)).max()
    return a, np.array(exact)[:, ::-1], float(condition)


def accuracy_figure() -> Figure:
    """Relative error of every singular value against its size."""
    a, exact, condition = graded()
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    for ax, dtype in zip(figure.subplots(1, 2, sharey=True), ("float32", "float64"), strict=True):
        eps = float(np.finfo(dtype).eps)
        x = (exact / exact[:, :1]).ravel()
        for (name, driver), marker in zip(DRIVERS.items(), "o^", strict=True):
            values = gpusvd.svdvals(a.astype(dtype), driver=driver).astype(float)
            error = np.maximum(np.abs(values - exact) / exact, eps / 16).ravel()
            ax.loglog(
                x, error, marker, ms=4, mew=0, alpha=0.6, label=name if name == "LAPACK" else "gpusvd, jacobi"
            )
        ax.axhline(eps * condition, color="0.5", lw=0.8, ls="--", label="eps times the condition of B")
        ax.axhline(1, color="0.5", lw=0.8, label="no digit is right")
        ax.invert_xaxis()
        ax.set(title=dtype, xlabel="σ / σ₁")
    figure.axes[0].set_ylabel("relative error of σ")
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
    )
    return figure


def quality() -> list[dict[str, Any]]:
    """The worst of a batch of Gaussian matrices, in units of eps."""
    rows = []
    for dtype in ("float32", "float64", "complex64", "complex128"):
        for n in (3, 8, 32, 128):
            a = gallery.gaussian_entries(np.random.default_rng(n), 100, n * n, np.dtype(dtype)).reshape(
                100, n, n
            )
            row: dict[str, Any] = {"dtype": dtype, "n": n, "count": 100}
            for name, driver in DRIVERS.items():
                U, S, Vh = gpusvd.svd(a.astype(dtype), driver=driver)
                loss = np.maximum(
                    measures.loss_of_orthogonality(U), measures.loss_of_orthogonality(measures.adjoint(Vh))
                )
                residual = measures.residual(a.astype(dtype), U, S, Vh)
                eps = measures.eps(S.dtype)
                row[name] = {"residual": residual.max() / eps, "orthogonality": loss.max() / eps}
            rows.append(row)
    return rows


if __name__ == "__main__":
    main()
