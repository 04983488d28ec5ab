"""Principal components of handwritten digits: of all together, and of each digit separately.

The 1797 digits of 8 x 8 pixels that come with scikit-learn are points in 64 dimensions. Two components show
which digits look alike; a third of the components hold 90 % of the variance. Then ten sets, one for each
digit and with the same number of samples, are decomposed in one call: each has its own mean and components.
"""

import numpy as np
from sklearn.datasets import load_digits

import gpusvd
import gpusvd.plot
from _picture import figure, output, save

pixels, digits = load_digits(return_X_y=True)

whole = gpusvd.pca(pixels)
ratio = whole.explained_variance_ratio
print(f"{len(pixels)} digits of {pixels.shape[1]} pixels")
print("variance along the first components: " + " ".join(f"{share:.2%}" for share in ratio[:4]))
for energy in (0.9, 0.95, 0.99):
    print(f"{energy:.0%} of the variance: {gpusvd.pca(pixels, energy=energy).n_components} components")

smallest = min(np.bincount(digits))
sets = np.stack([pixels[digits == digit][:smallest] for digit in range(10)])
each = gpusvd.pca(sets, energy=0.9)
print(f"90% of each digit's own variance, {smallest} samples each, in one call:")
print("digit      " + " ".join(f"{digit:3}" for digit in range(10)))
print("components " + " ".join(f"{count:3}" for count in each.n_components))

drawing = figure(11, 4.4)
left, right = drawing.subfigures(1, 2, width_ratios=[1, 1.35])
ax = left.subplots()
for digit in range(10):
    ax.scatter(*whole.scores[digits == digit, :2].T, s=4, alpha=0.5, color=f"C{digit}")
    ax.annotate(
        str(digit),
        np.median(whole.scores[digits == digit, :2], axis=0),
        fontsize=15,
        weight="bold",
        ha="center",
        va="center",
        bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": f"C{digit}"},
    )
ax.set_xlabel(f"first component, {ratio[0]:.1%} of the variance")
ax.set_ylabel(f"second component, {ratio[1]:.1%}")
top, bottom = right.subfigures(2, 1, height_ratios=[1, 1.1])
gpusvd.plot.energy(whole.singular_values, levels=(0.5, 0.9), ax=top.subplots())
axes = bottom.subplots(3, 10)
for digit in range(10):
    shown = [each.mean[digit], *each.components[digit, :2]]
    for ax, image in zip(axes[:, digit], shown, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r" if image is shown[0] else "RdBu")
        ax.set_xticks([])
        ax.set_yticks([])
for ax, name in zip(axes[:, 0], ("mean", "first", "second"), strict=True):
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
bottom.suptitle("mean and components of each digit by itself", fontsize=11)
save(drawing, output())
