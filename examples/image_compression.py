"""Compress a photograph: keep singular values of its patches by three rules, which store as many numbers.

Every 16 x 16 patch is a matrix of 16 x 48, its colours side by side. A term takes 16 + 48 + 1 numbers in any
patch, so the size depends on the total number of terms only. The rules distribute them over the patches:

- `rank`: the same number in each patch;
- `energy`: as many as each patch needs for the same fraction of its energy;
- `atol`: those above one threshold for all patches. For a given number of terms this leaves the smallest
  error, since the squares of discarded singular values add up over all patches.
"""

import numpy as np

import gpusvd
from _picture import figure, output, photograph, psnr, save

PATCH = 16
RANK = 3

photo = photograph("RGB")
rows, columns = photo.shape[0] // PATCH, photo.shape[1] // PATCH
photo = photo[: rows * PATCH, : columns * PATCH]
split = photo.reshape(rows, PATCH, columns, PATCH, 3)
patches = split.transpose(0, 2, 1, 4, 3).reshape(rows, columns, PATCH, 3 * PATCH)

U, S, Vh = gpusvd.svd(patches, full_matrices=False)
budget = rows * columns * RANK

# A patch keeps the values before it reaches the energy, and one more.
energies = np.sort(gpusvd.energy(S.astype(float)).ravel())
rules = {
    f"rank {RANK}": {"rank": RANK},
    "energy": {"energy": energies[budget - rows * columns]},
    "atol": {"atol": np.sort(S.ravel())[-budget - 1]},
}
print(f"{rows * columns} patches of {PATCH} x {3 * PATCH}, decomposed in one call of gpusvd.svd")
print("rule      terms   storage  relative error   PSNR   ranks")
pictures, ranks = {}, {}
for name, rule in rules.items():
    terms = gpusvd.truncate(U, S, Vh, **rule)
    storage = gpusvd.storage_ratio(PATCH, 3 * PATCH, terms.rank).mean()
    lost = np.linalg.norm(gpusvd.truncation_error(S, terms.rank))  # from the singular values alone
    compressed = gpusvd.reconstruct(*terms).reshape(rows, columns, PATCH, 3, PATCH)
    pictures[name] = compressed.transpose(0, 2, 1, 4, 3).reshape(photo.shape)
    ranks[name] = terms.rank
    print(
        f"{name:8} {terms.rank.sum():6} {storage:9.2%} {lost / np.linalg.norm(S):15.3%} "
        f"{psnr(photo, pictures[name]):6.2f}   {terms.rank.min()} to {terms.rank.max()}"
    )

drawing = figure(11, 6.3)
axes = drawing.subplots(2, 4, height_ratios=[1.16, 1])
face = np.s_[90:330, 130:370]
axes[0, 0].imshow(photo)
axes[1, 0].imshow(photo[face])
axes[0, 0].set_title("original")
for (top, bottom), name in zip(axes.T[1:], pictures, strict=True):
    top.imshow(pictures[name].clip(0, 1))
    bottom.imshow(pictures[name][face].clip(0, 1))
    top.set_title(f"{name}: {psnr(photo, pictures[name]):.1f} dB")
for ax in axes.ravel():
    ax.set_axis_off()
save(drawing, output())
