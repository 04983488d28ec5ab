"""Rotations from 3 x 3 matrices: of a twisted bar by polar, of noisy point sets by kabsch.

A bar of square section is stretched along its axis, thinned so that its volume is preserved, and twisted. At
each point the gradient of the deformation is a matrix F = U P: the material is stretched by P and then
rotated by U. The stretches are the singular values of F, and their product is 1.

Five thousand copies of a helix are rotated, moved and perturbed by noise. Each is superposed on the helix by
the rotation and translation that leave the least distance. The fit absorbs 6 of the 3 N degrees of freedom of
the noise, so what remains is noise sqrt((3 N - 6) / N).
"""

import numpy as np
from matplotlib.cm import viridis

import gpusvd
from _picture import figure, output, save

# Deformation gradients

LENGTH, STRETCH, TWIST = 8.0, 1.3, 2 * np.pi / 8
THIN = STRETCH**-0.5

x, y, z = np.meshgrid(*2 * [np.linspace(-1, 1, 21)], np.linspace(0, LENGTH, 121), indexing="ij")
c, s = np.cos(TWIST * z), np.sin(TWIST * z)
turned = THIN * np.stack([c * x - s * y, s * x + c * y])
zero = np.zeros_like(z)
F = np.moveaxis(
    np.array(
        [
            [THIN * c, -THIN * s, -TWIST * turned[1]],
            [THIN * s, THIN * c, TWIST * turned[0]],
            [zero, zero, np.full_like(z, STRETCH)],
        ]
    ),
    (0, 1),
    (-2, -1),
)
U, P = gpusvd.polar(F)
stretches = gpusvd.svdvals(F)
print(f"{zero.size} deformation gradients")
print(f"|U' U - 1|, at most    {np.abs(U.mT @ U - np.eye(3)).max():.1e}")
print(f"|U P - F|, at most     {np.abs(U @ P - F).max():.1e}")
print(f"det U from {np.linalg.det(U).min():.6f} to {np.linalg.det(U).max():.6f}")
print(f"volume from {stretches.prod(axis=-1).min():.6f} to {stretches.prod(axis=-1).max():.6f}")
print(f"largest stretch {stretches.max():.6f} at the edges, {stretches[10, 10, :, 0].max():.6f} on the axis")

# Point sets

POINTS, COPIES, NOISE = 40, 5000, 0.2
rng = np.random.default_rng(0)
angle = np.linspace(0, 6 * np.pi, POINTS)
helix = np.stack([2 * np.cos(angle), 2 * np.sin(angle), angle / 2], axis=-1)
helix -= helix.mean(axis=0)
rotations = gpusvd.polar(rng.standard_normal((COPIES, 3, 3))).U
rotations *= np.linalg.det(rotations)[:, None, None]  # no mirrors
shifts = rng.uniform(-4, 4, (COPIES, 1, 3))
copies = (helix + NOISE * rng.standard_normal((COPIES, POINTS, 3))) @ rotations.mT + shifts

fit = gpusvd.kabsch(copies, helix)
aligned = copies @ fit.rotation.mT + fit.translation[:, None, :]
before = np.sqrt(np.sum((copies - helix) ** 2, axis=(-2, -1)) / POINTS)
cosine = (np.trace(fit.rotation @ rotations, axis1=-2, axis2=-1) - 1) / 2
off = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
left_over = np.sqrt(np.mean(fit.rmsd**2))
print(f"{COPIES} copies of {POINTS} points, noise {NOISE}")
print(f"RMSD before           {np.sqrt(np.mean(before**2)):.4f}")
print(f"RMSD after            {left_over:.4f}")
print(f"noise sqrt(3 - 6 / N) {NOISE * np.sqrt(3 - 6 / POINTS):.4f}")
print(f"rotations found to {off.mean():.2f} degrees on average, {off.max():.2f} at most")

drawing = figure(11, 4.2)
bar, apart, together = (drawing.add_subplot(1, 3, i + 1, projection="3d") for i in range(3))
colours = stretches[..., 0]
for face in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
    shade = (colours[face] - colours.min()) / np.ptp(colours)
    bar.plot_surface(
        *(coordinate[face] for coordinate in (*turned, STRETCH * z)),
        facecolors=viridis(shade),
        rstride=1,
        cstride=1,
        shade=False,
    )
bar.set_box_aspect([1, 1, 4], zoom=1.2)
bar.set_title(f"largest stretch, {colours.min():.2f} to {colours.max():.2f}", fontsize=10)
bar.set_axis_off()
for ax, shown, title in ((apart, copies, "turned and moved"), (together, aligned, "aligned by kabsch")):
    for copy in shown[:5]:
        ax.plot(*copy.T, ".-", markersize=3, linewidth=0.6)
    ax.set_aspect("equal")
    ax.set_title(f"five of {COPIES} copies, {title}", fontsize=10)
together.plot(*helix.T, color="k", linewidth=1.5)
save(drawing, output())
