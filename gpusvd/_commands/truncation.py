"""Truncate the patches of a picture; measure the error, and predict it by theory."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import gpusvd
from gpusvd._base.results import Array

CHUNK = 4096  # patches held in float64 at a time: a few MB at 8 x 8 pixels


class Truncation(NamedTuple):
    """The truncated patches of a picture, and their errors."""

    energy: float  # the fraction that each patch keeps
    rank: NDArray[np.intp]  # of each patch
    patches: Array  # the truncated matrices
    lost: Array  # ||A - A_k|| of each patch, in the Frobenius norm
    storage: float  # numbers stored, as a fraction of those in the matrices
    error: float  # ||A - A_k|| / ||A|| over all patches, measured
    predicted: float  # the same error, from the discarded singular values
    difference: float  # between the two: the largest of any patch, relative to that patch's norm


def truncate(a: Array, u: Array, s: Array, vh: Array, energy: float) -> Truncation:
    """Cut every patch to the fewest singular values that hold the fraction `energy` of its energy.

    By the Eckart-Young theorem the result is the best approximation of its rank, and its error is the root of
    the sum of the squares of the discarded singular values.
    """
    m, n = a.shape[-2:]
    terms = gpusvd.truncate(u, s, vh, energy=energy, max_rank=s.shape[-1])
    predicted = gpusvd.truncation_error(s.astype(np.float64), terms.rank)

    patches, lost = np.empty_like(a), np.empty(terms.rank.shape)
    for part, (exact, left, values, right) in chunks(a, terms.U, terms.S, terms.Vh):
        approximation = (left * values[:, None, :]) @ right
        lost.reshape(-1)[part] = np.linalg.norm(exact - approximation, axis=(-2, -1))
        patches.reshape(-1, m, n)[part] = approximation
    norm = np.linalg.norm(a.astype(np.float64), axis=(-2, -1))
    difference = np.abs(lost - predicted) / positive(norm)
    return Truncation(
        energy=energy,
        rank=terms.rank,
        patches=patches,
        lost=lost,
        storage=float(gpusvd.storage_ratio(m, n, terms.rank).mean()),
        error=float(np.linalg.norm(lost) / positive(np.linalg.norm(norm))),
        predicted=float(np.linalg.norm(predicted) / positive(np.linalg.norm(norm))),
        difference=float(difference.max()),
    )


def accuracy(a: Array, u: Array, s: Array, vh: Array) -> tuple[float, float]:
    """Return the largest ||A - U S Vh|| / ||A||, and ||Uh U - I|| or ||Vh V - I||, of all patches."""
    residuals, losses = [], []
    identity = np.eye(s.shape[-1])
    for _, (exact, left, values, right) in chunks(a, u, s, vh):
        norm = positive(np.linalg.norm(exact, axis=(-2, -1)))
        residual = np.linalg.norm(exact - (left * values[:, None, :]) @ right, axis=(-2, -1))
        residuals.append(np.max(residual / norm))
        for gram in (left.mT @ left, right @ right.mT):
            losses.append(np.max(np.linalg.norm(gram - identity, axis=(-2, -1))))
    return float(np.max(residuals)), float(np.max(losses))


def positive(norm: Any) -> Any:
    """Return a norm to divide by: 1 for a black patch, whose error is 0."""
    return np.where(norm > 0, norm, 1.0)


def chunks(*stacks: Array) -> Iterator[tuple[slice, list[NDArray[np.float64]]]]:
    """Yield slices of the patches, and each (rows, columns, ...) stack's patches there, in float64."""
    flat = [stack.reshape(-1, *stack.shape[2:]) for stack in stacks]
    for start in range(0, len(flat[0]), CHUNK):
        part = slice(start, start + CHUNK)
        yield part, [stack[part].astype(np.float64) for stack in flat]
