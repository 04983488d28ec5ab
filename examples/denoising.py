"""Denoise a photograph: singular values above the optimal threshold are signal, the rest is noise.

The 64 patches of 8 x 8 pixels in a window of 15 x 15 are the columns of a 64 x 64 matrix. They are similar,
so without noise the matrix has nearly a low rank; white noise fills all directions equally. Gavish and
Donoho's hard threshold, 4 / sqrt(3) sqrt(64) times the noise for a square matrix, keeps what exceeds the
noise. Each pixel is the mean over all patches of all windows that contain it.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import gpusvd
from _picture import figure, output, photograph, psnr, save

NOISE = 0.1
PATCH, WINDOW, STEP = 8, 15, 4
PLACES = WINDOW - PATCH + 1

clean = photograph("L")[60:315, 120:375]
noisy = clean + NOISE * np.random.default_rng(0).standard_normal(clean.shape, np.float32)

# The number of patches of its window that contain a pixel is its weight in the mean over all windows.
along = np.minimum(np.minimum(np.arange(WINDOW) + 1, PATCH), WINDOW - np.arange(WINDOW))
weights = np.outer(along, along)


def denoised(picture, noise):
    """The picture, and the threshold and the rank of every window."""
    thresholds, ranks = [], []

    def of_windows(windows):
        patches = sliding_window_view(windows, (PATCH, PATCH), axis=(1, 2))
        a = patches.reshape(len(windows), PLACES**2, PATCH**2).mT
        U, S, Vh = gpusvd.svd(a, full_matrices=False)
        thresholds.append(gpusvd.optimal_threshold(S, *a.shape[-2:], noise))
        terms = gpusvd.truncate(U, S, Vh, atol=thresholds[-1])
        ranks.append(terms.rank)
        patches = gpusvd.reconstruct(*terms).mT.reshape(patches.shape)
        # The windows' axis goes to the end, where it belongs to every pixel.
        whole = gpusvd.patches.average(np.moveaxis(patches, 0, -1), (WINDOW, WINDOW))
        return np.moveaxis(whole, -1, 0)

    picture = gpusvd.patches.apply(of_windows, picture, (WINDOW, WINDOW), STEP, weights=weights)
    return picture, np.concatenate(thresholds), np.concatenate(ranks)


results = {"noisy": noisy}
print(f"windows of {WINDOW} x {WINDOW} pixels, matrices of {PATCH**2} x {PLACES**2}, noise {NOISE}")
print(f"noisy                              PSNR {psnr(clean, noisy):.2f} dB")
for name, noise in {"noise known": NOISE, "noise unknown": None}.items():
    results[name], threshold, rank = denoised(noisy, noise)
    print(
        f"{name:14} threshold {np.median(threshold):.3f}   PSNR {psnr(clean, results[name]):.2f} dB   "
        f"mean rank {rank.mean():.2f}"
    )

drawing = figure(11, 3.05)
axes = drawing.subplots(1, 4)
for ax, (name, picture) in zip(axes, {"clean": clean, **results}.items(), strict=True):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    ax.set_title(name if name == "clean" else f"{name}: {psnr(clean, picture):.1f} dB")
    ax.set_axis_off()
save(drawing, output())
