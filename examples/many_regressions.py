"""Ten thousand least-squares problems at once, compared with a loop over numpy.linalg.lstsq.

Ten thousand sensors took 40 measurements each in three years, at different times, so that every sensor has
its own design matrix: 1, t, cos 2 pi t and sin 2 pi t. The aim is the trend, the coefficient of t, with its
confidence interval: 95 % of the intervals must contain the true trend.
"""

import time

import numpy as np

import gpusvd
from _picture import figure, output, save

SENSORS, SAMPLES, NOISE = 10_000, 40, 0.5
WITHIN = 2.0281  # 95 % of Student's t with 36 degrees of freedom

rng = np.random.default_rng(0)
t = np.sort(rng.uniform(0, 3, (SENSORS, SAMPLES)), axis=-1)


def design(t):
    return np.stack([np.ones_like(t), t, np.cos(2 * np.pi * t), np.sin(2 * np.pi * t)], axis=-1)


truth = rng.normal([10, 0.2, 1, 0.5], [2, 0.3, 0.5, 0.5], (SENSORS, 4))
A = design(t)
y = (A @ truth[..., None])[..., 0] + NOISE * rng.standard_normal(t.shape)

gpusvd.lstsq(A[:100], y[:100, :, None])  # the first call loads the kernels
start = time.perf_counter()
fit = gpusvd.lstsq(A, y[..., None])
batched = time.perf_counter() - start
start = time.perf_counter()
loop = np.stack([np.linalg.lstsq(a, b)[0] for a, b in zip(A, y, strict=True)])
looped = time.perf_counter() - start
x = fit.x[..., 0]

# The covariance of x is variance (Aᵀ A)⁻¹ = variance A⁺ (A⁺)ᵀ.
variance = fit.residuals[:, 0] / (SAMPLES - 4)
deviation = np.sqrt(variance[:, None] * np.sum(gpusvd.pinv(A) ** 2, axis=-1))
score = (x - truth) / deviation
covered = np.mean(np.abs(score[:, 1]) < WITHIN)

print(f"{SENSORS} problems of {SAMPLES} x 4")
print(f"gpusvd.lstsq              {1e3 * batched:8.1f} ms")
print(f"loop of numpy.linalg.lstsq{1e3 * looped:8.1f} ms, {looped / batched:.1f} times as long")
print(f"largest difference         {np.abs(x - loop).max():.1e}")
print(f"root mean square residual  {np.sqrt(variance.mean()):.4f}, the noise is {NOISE}")
print(f"95% intervals that contain the true trend: {covered:.2%}")

drawing = figure(11, 4)
left, right = drawing.subfigures(1, 2, width_ratios=[1.5, 1])
fine = np.linspace(0, 3, 200)
for sensor, ax in enumerate(left.subplots(2, 2, sharex=True).ravel()):
    ax.plot(t[sensor], y[sensor], ".", color="0.5")
    ax.plot(fine, design(fine) @ x[sensor], label="fit")
    ax.plot(fine, design(fine) @ truth[sensor], "--", label="truth")
    ax.set_title(f"trend {x[sensor, 1]:.2f} ± {WITHIN * deviation[sensor, 1]:.2f}", fontsize=10)
    ax.grid(alpha=0.3)
left.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
left.supxlabel("years", fontsize=10)
ax = right.subplots()
ax.hist(score[:, 1], bins=60, density=True, color="C0", alpha=0.5)
z = np.linspace(-4, 4, 200)
ax.plot(z, np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), "k", label="standard normal")
ax.set_xlim(-4.5, 4.5)
ax.set_xlabel("error of the trend in standard deviations")
ax.set_title(f"{SENSORS} trends from one call", fontsize=10)
ax.legend(fontsize=8)
save(drawing, output())
