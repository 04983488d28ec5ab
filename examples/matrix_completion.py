"""Complete matrices of which half the entries are known, by shrinking their singular values.

Fifty matrices of 60 x 40 and rank 3. Fill in a guess for the unknown entries, shrink the singular values by
tau, restore the known entries, and repeat while tau decreases: with `svt` one call does a step for the whole
batch. Shrinking is the proximal step of the nuclear norm, so the guess approaches the matrix of least nuclear
norm that agrees with the known entries. This is soft-impute, by R. Mazumder, T. Hastie and R. Tibshirani,
"Spectral regularization algorithms for learning large incomplete matrices", Journal of Machine Learning
Research 11, 2010, pp. 2287-2322.
"""

import numpy as np

import gpusvd
from _picture import figure, output, save

BATCH, M, N, RANK, SEEN = 50, 60, 40, 3, 0.5
STEPS = 200

rng = np.random.default_rng(0)
# Smooth matrices, so that one can see what is in them: sums of products of waves.
i, j = np.arange(M)[:, None] / M, np.arange(N)[:, None] / N
frequency, phase = rng.uniform(1, 4, (2, BATCH, 1, RANK)), rng.uniform(0, 2 * np.pi, (2, BATCH, 1, RANK))
left = np.sin(2 * np.pi * frequency[0] * i + phase[0])
right = np.sin(2 * np.pi * frequency[1] * j + phase[1])
truth = left @ right.mT
seen = rng.random(truth.shape) < SEEN


def error(x):
    """Relative error of each matrix where it was not seen."""
    off, whole = (np.linalg.norm(np.where(seen, 0, y), axis=(-2, -1)) for y in (x - truth, truth))
    return off / whole


x = np.zeros_like(truth)
errors = [error(x)]
for tau in np.geomspace(10, 1e-3, STEPS):
    x = gpusvd.svt(np.where(seen, truth, x), tau)
    errors.append(error(x))
errors = np.array(errors)

print(f"{BATCH} matrices of {M} x {N} and rank {RANK}, {seen.mean():.1%} seen, {STEPS} steps")
print("step   median error where not seen   worst")
for step in (0, 50, 100, 200):
    print(f"{step:4} {np.median(errors[step]):29.2%} {errors[step].max():7.2%}")
print(f"completed to 1%: {np.count_nonzero(errors[-1] < 0.01)} of {BATCH}")
ranks = gpusvd.matrix_rank(x, rtol=1e-2)
print(f"numerical rank of the results: {ranks.min()} to {ranks.max()}")

drawing = figure(11, 3.2)
axes = drawing.subplots(1, 4)
limit = np.abs(truth[0]).max()
pictures = {"truth": truth[0], "seen": np.where(seen, truth, np.nan)[0], "completed": x[0]}
for ax, (name, picture) in zip(axes, pictures.items(), strict=False):
    ax.imshow(picture, cmap="RdBu", vmin=-limit, vmax=limit)
    ax.set_title(name)
    ax.set_axis_off()
axes[3].semilogy(errors, color="C0", alpha=0.15)
axes[3].semilogy(np.median(errors, axis=1), color="k", label="median")
axes[3].set_xlabel("step")
axes[3].set_title("relative error where not seen")
axes[3].grid(alpha=0.3)
axes[3].legend()
save(drawing, output())
