"""Denoise a complex dynamic series, such as in MRI: the time courses of neighbouring pixels have a low rank.

The phantom has five regions, each with its own time course (contrast that comes and goes, a heartbeat,
nothing), and the smooth phase of a coil. A patch of 6 x 6 pixels is a matrix of 36 pixels by 60 frames: where
two regions meet its rank is 2, elsewhere 1, while white noise fills all 36 directions. `patches.denoise`
decomposes all patches, removes noise from their singular values by one of four rules, and averages
overlapping patches. The truth is known, so the error is too: NRMSE is ||x - truth|| / ||truth||.
"""

import numpy as np

import gpusvd
from _picture import figure, output, save

SIZE, FRAMES, NOISE, PATCH = 96, 60, 0.25, 6

y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
t = np.linspace(0, 1, FRAMES)
body = x**2 / 0.8 + y**2 / 0.6 < 1
left, right = ((x - side) ** 2 / 0.06 + (y + 0.1) ** 2 / 0.12 < 1 for side in (-0.45, 0.45))
heart, vessel = x**2 + (y - 0.4) ** 2 < 0.03, (x - 0.1) ** 2 + (y + 0.55) ** 2 < 0.008
regions = {
    "muscle": (body, 0.5 + 0 * t),
    "left": (left, 0.3 + 0.9 * t * np.exp(-3 * t) * 3),
    "right": (right, 0.3 + 1.4 * np.exp(-(((t - 0.4) / 0.15) ** 2))),
    "heart": (heart, 0.8 + 0.3 * np.sin(2 * np.pi * 8 * t)),
    "vessel": (vessel, 0.2 + 1.6 * np.exp(-(((t - 0.2) / 0.06) ** 2))),
}
truth = np.zeros((SIZE, SIZE, FRAMES), np.complex64)
for where, course in regions.values():
    truth[where] = course
truth *= np.exp(1j * np.pi * (0.6 * x + 0.4 * y**2))[..., None]

rng = np.random.default_rng(0)
normal = rng.standard_normal((2, *truth.shape)) / np.sqrt(2)
noisy = (truth + NOISE * (normal[0] + 1j * normal[1])).astype(np.complex64)


def nrmse(series):
    return np.linalg.norm(series - truth) / np.linalg.norm(truth)


results = {"noisy": noisy}
# For white noise alone the largest singular value of a patch is near (sqrt(36) + sqrt(60)) NOISE.
tau = (PATCH + np.sqrt(FRAMES)) * NOISE
for rule, options in {
    "mppca": {},
    "shrinkage": {"noise": NOISE},
    "hard": {"noise": NOISE},
    "svt": {"tau": tau},
}.items():
    results[rule] = gpusvd.patches.denoise(noisy, (PATCH, PATCH), 1, rule=rule, **options)
print(f"{(SIZE - PATCH + 1) ** 2} patches of {PATCH**2} pixels and {FRAMES} frames, noise {NOISE}")
for name, series in results.items():
    print(f"{name:10} NRMSE {nrmse(series):.2%}")

drawing = figure(11, 5.2)
axes = drawing.subplots(2, 4)
frame = FRAMES // 5
shown = {"truth": truth, "noisy": noisy, "svt": results["svt"], "mppca": results["mppca"]}
for ax, (name, series) in zip(axes[0], shown.items(), strict=True):
    ax.imshow(np.abs(series[..., frame]), cmap="gray", vmin=0, vmax=1.6)
    ax.set_title(name if name == "truth" else f"{name}: NRMSE {nrmse(series):.1%}")
    ax.set_axis_off()
pixels = {"vessel": (21, 52), "heart": (67, 47), "right": (43, 69)}
for ax, (name, pixel) in zip(axes[1], pixels.items(), strict=False):
    for series, style in ((noisy, "C7-"), (results["mppca"], "C1-"), (truth, "k--")):
        ax.plot(t, np.abs(series[pixel]), style, linewidth=1)
    ax.set_title(f"a pixel of {name}")
    ax.set_ylim(0, 2.4)
axes[1, 3].imshow(np.abs(results["mppca"] - truth).mean(axis=-1), cmap="magma", vmin=0, vmax=0.1)
axes[1, 3].set_title("mean error of mppca, to 0.1")
axes[1, 3].set_axis_off()
save(drawing, output())
