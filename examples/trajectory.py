"""Superpose the frames of a molecule's trajectory: rotations, RMSD and scale, with the masses as weights.

The backbone of a helical peptide tumbles, drifts and vibrates; each coordinate of an atom of mass m has the
variance kT / m. With the masses as weights, `kabsch` is the maximum-likelihood fit. It absorbs 6 of the 3 N
degrees of freedom, so the RMSD is sqrt((3 N - 6) kT / M), where M is the total mass. Its rotations are off by
sqrt(kT tr I^-1), where I is the tensor of inertia. With equal weights, the hydrogens, which vibrate most,
count as much as the other atoms, and the rotations are worse.

A camera that cannot tell size from distance sees an object at an unknown scale. With `scale=True`, the fit of
the reference to each view finds the scale as well as the pose.
"""

from itertools import accumulate

import numpy as np

import gpusvd
from _picture import figure, output, save

FRAMES, RESIDUES, KT = 2000, 20, 1.0  # in atomic mass units times square Ångström

# Mass, radius, angle in degrees and height of each atom. The next residue is 100 degrees and 1.5 Å further.
RESIDUE = {
    "N": (14, 1.55, -28, -0.9),
    "H": (1, 1.5, -25, -1.9),
    "CA": (12, 2.29, 0, 0.0),
    "C": (12, 1.66, 27, 1.1),
    "O": (16, 2.0, 22, 2.3),
}
mass, radius, angle, height = np.tile(list(RESIDUE.values()), (RESIDUES, 1)).T
residue = np.repeat(np.arange(RESIDUES), len(RESIDUE))
angle = np.radians(angle + 100 * residue)
reference = np.stack([radius * np.cos(angle), radius * np.sin(angle), height + 1.5 * residue], axis=-1)
reference -= np.average(reference, axis=0, weights=mass)

rng = np.random.default_rng(0)
steps = gpusvd.nearest_rotation(np.eye(3) + 0.05 * rng.standard_normal((FRAMES, 3, 3)))
rotations = np.array(list(accumulate(steps, np.matmul)))
drift = np.cumsum(0.3 * rng.standard_normal((FRAMES, 1, 3)), axis=0)
vibration = np.sqrt(KT / mass)[:, None] * rng.standard_normal((FRAMES, mass.size, 3))
frames = (reference + vibration) @ rotations.mT + drift
scales = rng.uniform(0.5, 2, FRAMES)
views = scales[:, None, None] * frames


def rms(x):
    return np.sqrt(np.mean(x**2))


def degrees(rotation):
    """The angle of each rotation."""
    return np.degrees(np.arccos(np.clip((np.trace(rotation, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))


fit = gpusvd.kabsch(frames, reference, mass)
superposed = frames @ fit.rotation.mT + fit.translation[:, None, :]
before = np.sqrt(np.average(np.sum((frames - reference) ** 2, axis=-1), axis=-1, weights=mass))
off = degrees(fit.rotation @ rotations)  # the fit turns the frames back
equal = degrees(gpusvd.kabsch(frames, reference).rotation @ rotations)
pose = gpusvd.kabsch(reference, views, mass, scale=True)

inertia = np.sum(mass * np.sum(reference**2, axis=-1)) * np.eye(3) - (mass * reference.T) @ reference
expected = np.sqrt((3 * mass.size - 6) * KT / mass.sum())
blur = np.degrees(np.sqrt(KT * np.trace(np.linalg.inv(inertia))))
scale_blur = np.sqrt(KT / np.sum(mass[:, None] * reference**2))
print(f"{FRAMES} frames of {mass.size} atoms")
print(f"RMSD as recorded         {rms(before):.4f}")
print(f"RMSD superposed          {rms(fit.rmsd):.4f}, expected {expected:.4f}")
print(f"rotations, by mass       {rms(off):.3f} degrees off, expected {blur:.3f}")
print(f"rotations, equal weights {rms(equal):.3f} degrees off")
print(f"scales of the views      {rms(pose.scale / scales - 1):.3%} off, expected {scale_blur:.3%}")
print(f"rotations of the views   {rms(degrees(pose.rotation.mT @ rotations)):.3f} degrees off")

drawing = figure(11, 3.8)
together = drawing.add_subplot(1, 3, 1, projection="3d")
backbone = np.isin(RESIDUES * list(RESIDUE), ["N", "CA", "C"])
for frame in superposed[:: FRAMES // 5, backbone]:
    together.plot(*frame.T, ".-", markersize=3, linewidth=0.6)
together.plot(*reference[backbone].T, color="k", linewidth=1.5)
together.set_box_aspect([1, 1, 2.5], zoom=1.15)
together.set_axis_off()
together.set_title("five frames, superposed")
course, histogram = (drawing.add_subplot(1, 3, place) for place in (2, 3))
course.semilogy(before, label="as recorded")
course.semilogy(fit.rmsd, label="superposed")
course.axhline(expected, color="k", linewidth=1, label="expected")
course.set_title("RMSD in Å")
course.set_xlabel("frame")
course.legend()
for found, label in ((off, "weighted by mass"), (equal, "equal weights")):
    histogram.hist(found, bins=np.linspace(0, 4, 60), alpha=0.6, label=label)
histogram.set_title("error of the rotations in degrees")
histogram.legend()
save(drawing, output())
