"""Denoise a photograph: singular values above the optimal threshold are signal, the rest is noise.

The 64 patches of 8 x 8 pixels in a window of 15 x 15 are the columns of a 64 x 64 matrix. They resemble each
other, so without noise the matrix is nearly of low rank; white noise fills all directions alike. Gavish and
Donoho's hard threshold, 4 / sqrt(3) sqrt(64) times the noise for a square matrix, keeps what stands out. Each
pixel is the mean over all patches of all windows that hold it.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import gpusvd
from _picture import figure, output, photograph, psnr, save

NOISE = 0.1
PATCH, WINDOW, STEP = 8, 15, 4

clean = photograph("L")[60:315, 120:375]
noisy = clean + NOISE * np.random.default_rng(0).standard_normal(clean.shape, np.float32)


def matrices(picture):
    """Patches as columns, a matrix (64, 64) for each window (rows, columns, 64, 64)."""
    windows = sliding_window_view(picture, (WINDOW, WINDOW))[::STEP, ::STEP]
    patches = sliding_window_view(windows, (PATCH, PATCH), axis=(2, 3))
    rows, columns = patches.shape[:2]
    return patches.reshape(rows, columns, -1, PATCH * PATCH).mT


def mean_picture(a, shape):
    """The mean of all patches over every pixel: what takes `matrices` back."""
    rows, columns = a.shape[:2]
    places = WINDOW - PATCH + 1
    patches = a.mT.reshape(rows, columns, places, places, PATCH, PATCH)
    total, count = np.zeros(shape), np.zeros(shape)
    for down, right, y, x in np.ndindex(places, places, PATCH, PATCH):
        top, left = down + y, right + x
        here = np.s_[top : top + rows * STEP : STEP, left : left + columns * STEP : STEP]
        total[here] += patches[:, :, down, right, y, x]
        count[here] += 1
    return total / count


a = matrices(noisy)
m, n = a.shape[-2:]
U, S, Vh = gpusvd.svd(a, full_matrices=False)
print(f"{S[..., 0].size} matrices of {m} x {n}, noise {NOISE}")
print(f"noisy                              PSNR {psnr(clean, noisy):.2f} dB")
results = {"noisy": noisy}
for name, noise in {"noise known": NOISE, "noise unknown": None}.items():
    threshold = gpusvd.optimal_threshold(S, m, n, noise)
    terms = gpusvd.truncate(U, S, Vh, atol=threshold)
    results[name] = mean_picture(gpusvd.reconstruct(*terms), clean.shape)
    print(
        f"{name:14} threshold {np.median(threshold):.3f}   PSNR {psnr(clean, results[name]):.2f} dB   "
        f"mean rank {terms.rank.mean():.2f}"
    )

drawing = figure(11, 3.05)
axes = drawing.subplots(1, 4)
for ax, (name, picture) in zip(axes, {"clean": clean, **results}.items(), strict=True):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    ax.set_title(name if name == "clean" else f"{name}: {psnr(clean, picture):.1f} dB")
    ax.set_axis_off()
save(drawing, output())
