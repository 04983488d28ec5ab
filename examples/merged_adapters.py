"""Merge low-rank adapters of a neural network into one adapter of the same rank, layer by layer.

An adapter (LoRA) adds to the weights of every layer a product B A of rank 8. A weighted mean of six adapters
is the product of longer factors, [w1 B1, w2 B2, ...] [A1; A2; ...], of rank 48. `svd_product` decomposes it
without forming it, for all layers in one call, and `truncate` cuts it to the best adapter of rank 8, or to a
rank of its own for each layer. The adapters agree less and less from the first layer to the last.

The mean of the factors is no substitute for the mean of the products: (B G) (G^-1 A) is the same adapter for
every invertible G, so the factors of two adapters have nothing to do with each other.
"""

import numpy as np
from matplotlib import colormaps

import gpusvd
from _picture import figure, output, save

LAYERS, M, N, RANK = 12, 1024, 768, 8
weights = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1], np.float32)[:, None, None, None]
TASKS = len(weights)

rng = np.random.default_rng(0)
agreement = np.linspace(0.95, 0.3, LAYERS)[:, None, None]


def adapters(m):
    """What all tasks have in common, and what each has for itself, as columns of m numbers."""
    common, own = rng.standard_normal((LAYERS, m, RANK)), rng.standard_normal((TASKS, LAYERS, m, RANK))
    return agreement * common + np.sqrt(1 - agreement**2) * own


G = np.linalg.qr(rng.standard_normal((TASKS, LAYERS, RANK, RANK)))[0]
Bs = (adapters(M) * 0.75 ** np.arange(RANK) / np.sqrt(M) @ G).astype(np.float32)
As = (G.mT @ adapters(N).mT / np.sqrt(N)).astype(np.float32)

B, A = np.concatenate(weights * Bs, axis=-1), np.concatenate(As, axis=-2)
U, S, Vh = gpusvd.svd_product(B, A)
best_b, best_a, _, _ = gpusvd.truncate(U, S, Vh, rank=RANK, absorb="both")
ranks = gpusvd.truncate(U, S, Vh, error=0.1).rank


def distance(b, a):
    """The relative distance of an adapter from the weighted mean, again without forming products."""
    difference = gpusvd.svd_product(np.concatenate([B, -b], axis=-1), np.concatenate([A, a], axis=-2))
    return np.linalg.norm(difference.S, axis=-1) / np.linalg.norm(S, axis=-1)


errors = np.array([gpusvd.truncation_error(S, k) for k in range(TASKS * RANK + 1)])
errors /= errors[0]
merged = distance(best_b, best_a)
averaged = distance((weights * Bs).sum(axis=0), (weights * As).sum(axis=0))
# For comparison the last layer is formed.
dense = np.linalg.svdvals((weights[:, 0] * (Bs[:, -1].astype(float) @ As[:, -1])).sum(axis=0))
optimum = np.sqrt(np.sum(dense[RANK:] ** 2) / np.sum(dense**2))
print(f"{TASKS} adapters of rank {RANK} for {LAYERS} layers of {M} x {N}")
print(f"numbers in the factors {B.size + A.size}, in the products {LAYERS * M * N}")
print("                          first layer  last layer")
print(f"error at rank {RANK}           {merged[0]:11.4%} {merged[-1]:11.4%}")
print(f"the least, by a dense SVD             {optimum:18.4%}")
print(f"mean of the factors       {averaged[0]:11.4%} {averaged[-1]:11.4%}")
print(f"rank for an error of 10%  {ranks[0]:11} {ranks[-1]:11}")

drawing = figure(11, 3.6)
spectra, by_rank, by_layer = drawing.subplots(1, 3)
count = np.arange(TASKS * RANK + 1)
for layer in range(LAYERS):
    colour = colormaps["viridis"](layer / LAYERS)
    spectra.semilogy(count[1:], S[layer], color=colour, linewidth=1)
    by_rank.plot(count, errors[:, layer], color=colour, linewidth=1)
spectra.semilogy(count[1:], dense[: TASKS * RANK], "k.", markersize=3, label="last layer, dense SVD")
spectra.set_title("singular values, first to last layer")
spectra.legend()
by_rank.axvline(RANK, color="0.6", linewidth=1)
by_rank.plot(RANK, optimum, "k.", label="last layer, dense SVD")
by_rank.plot(np.full(LAYERS, RANK), averaged, "C3_", markersize=10, label="mean of the factors")
by_rank.set_title("relative error by rank")
by_rank.legend()
for ax in (spectra, by_rank):
    ax.set_xlabel("rank")
    ax.grid(alpha=0.3)
by_layer.bar(range(1, LAYERS + 1), ranks, color="C0")
by_layer.set_title("rank for an error of 10%")
by_layer.set_xlabel("layer")
save(drawing, output())
