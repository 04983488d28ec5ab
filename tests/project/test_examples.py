"""The worked examples: what they print, held against NumPy, SciPy, scikit-learn and paper; their pictures."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from PIL import Image
from scipy.spatial.transform import Rotation
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("[!_]*.py"))


@pytest.fixture
def run(tmp_path_factory, capsys, monkeypatch):
    """A function that runs an example, once: what it prints, its variables and its picture."""

    def run(name):
        if name not in _done:
            picture = tmp_path_factory.mktemp(name) / "picture.png"
            monkeypatch.setattr(sys, "argv", [f"{name}.py", "-o", str(picture)])
            monkeypatch.syspath_prepend(EXAMPLES)
            variables = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
            _done[name] = capsys.readouterr().out, variables, picture
        return _done[name]

    return run


_done = {}


def numbers(text, pattern):
    """The numbers in the one line that matches."""
    (found,) = re.findall(pattern, text, re.M)
    return [float(number) for number in ([found] if isinstance(found, str) else found)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_draws_a_picture_and_is_listed(name, run):
    text, _, picture = run(name)
    assert text.endswith(f"Picture written to {picture}\n")
    assert os.listdir(picture.parent) == [picture.name]
    with Image.open(picture) as opened:
        pixels = np.asarray(opened.convert("RGB")).astype(float)
    assert min(pixels.shape[:2]) > 300
    assert pixels.std() > 20
    assert 0.03 < np.mean((pixels != 255).any(axis=-1)) < 0.97
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert f"[{name}.py]({name}.py)" in page
    small = ROOT / "docs" / "examples" / f"{name}.png"
    assert f"../docs/examples/{name}.png" in page
    assert small.stat().st_size < 60_000
    with Image.open(small) as opened:
        assert np.asarray(opened.convert("L")).std() > 10


def test_it_runs_as_a_user_runs_it(tmp_path):
    search = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, EXAMPLES / "by_hand.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"Picture written to {tmp_path / 'gpusvd-by_hand.png'}\n")
    assert os.listdir(tmp_path) == ["gpusvd-by_hand.png"]


def test_by_hand(run):
    text, _, _ = run("by_hand")
    lines = text.splitlines()
    assert lines[0].split()[-2:] == ["6.708204", "2.236068"]  # 3 sqrt 5 and sqrt 5
    assert numbers(text, r"energy +([\d.]+), condition ([\d.]+)") == [0.9, 3]
    assert "2. singular values    2.000000 0.000000, rank 1" in lines
    assert numbers(text, r"errors at rank 1 +(\S+) (\S+) (\S+)") == [3.162278, 3, 4]
    shares = np.cumsum([100, 16, 2.25, 0.25, 0.01]) / 118.51
    assert lines[6].split()[2:] == [f"{share:.3%}" for share in shares]
    assert round(100 * shares[2], 1) == 99.8
    assert numbers(text, r"values for 99.5 % +(\d+)") == [3]
    assert "5. singular values    2.000000 1.000000, eigenvalues [ 2. -1.]" in lines
    assert "   U = [[1.0, 0.0], [0.0, -1.0]], P = [[2.0, 0.0], [0.0, 1.0]]" in lines


def test_image_compression(run):
    text, variables, _ = run("image_compression")
    photo = variables["photo"].astype(float)
    assert photo.shape == (592, 512, 3)
    S = np.array(
        [
            np.linalg.svdvals(np.hstack(list(photo[i : i + 16, j : j + 16].transpose(2, 0, 1))))
            for i in range(0, 592, 16)
            for j in range(0, 512, 16)
        ]
    )
    budget = 3 * len(S)
    shares = np.cumsum(S**2, axis=1) / np.sum(S**2, axis=1, keepdims=True)
    energies = np.sort(shares.ravel())
    ranks = {
        "rank 3": np.full(len(S), 3),
        "energy": np.sum(shares < energies[budget - len(S)] - 1e-9, axis=1) + 1,
        "atol": np.sum(np.sort(S.ravel())[-budget - 1] + 1e-9 < S, axis=1),
    }
    for name, rank in ranks.items():
        terms, storage, error, psnr, least, most = numbers(
            text, rf"^{name} +(\d+) +([\d.]+)% +([\d.]+)% +([\d.]+) +(\d+) to (\d+)$"
        )
        lost = np.sum(S**2, where=np.arange(16) >= rank[:, None])
        assert abs(terms - budget) <= 2  # two singular values may be as good as equal
        assert storage == pytest.approx(100 * budget * 65 / photo.size, abs=0.02)
        assert error == pytest.approx(100 * np.sqrt(lost / np.sum(S**2)), abs=0.001)
        assert psnr == pytest.approx(-10 * np.log10(lost / photo.size), abs=0.006)
        assert (least, most) == (rank.min(), rank.max())


def test_denoising(run):
    text, variables, _ = run("denoising")
    clean, noisy, results = (variables[name] for name in ("clean", "noisy", "results"))
    assert noisy.std() > clean.std()
    (before,) = numbers(text, r"^noisy +PSNR ([\d.]+) dB$")
    assert before == pytest.approx(20, abs=0.1)  # 10 log10(1 / 0.1²)
    threshold, known, _ = numbers(
        text, r"^noise known +threshold ([\d.]+) +PSNR ([\d.]+) dB +mean rank ([\d.]+)$"
    )
    assert threshold == round(4 / 3**0.5 * 8 * 0.1, 3)
    for name, printed in (("noise known", known), ("noisy", before)):
        error = np.mean((results[name].astype(float) - clean) ** 2)
        assert printed == pytest.approx(10 * np.log10(1 / error), abs=0.006)
    assert known > before + 7
    (unknown,) = numbers(text, r"^noise unknown .*PSNR ([\d.]+) dB")
    assert before + 6 < unknown < known

    # Four pixels, from the windows that hold them, one at a time.
    total, count = np.zeros((2, 255, 255))
    for top in range(88, 104, 4):
        for left in range(88, 104, 4):
            corners = [(top + i, left + j) for i in range(8) for j in range(8)]
            a = np.array([noisy[i : i + 8, j : j + 8].ravel() for i, j in corners], float).T
            u, s, vh = np.linalg.svd(a)
            k = np.sum(s > 4 / 3**0.5 * 8 * 0.1)
            for (i, j), column in zip(corners, ((u[:, :k] * s[:k]) @ vh[:k]).T, strict=True):
                total[i : i + 8, j : j + 8] += column.reshape(8, 8)
                count[i : i + 8, j : j + 8] += 1
    here = np.s_[101:103, 101:103]
    np.testing.assert_allclose(results["noise known"][here], total[here] / count[here], atol=1e-4)


def test_dynamic_series(run):
    text, variables, _ = run("dynamic_series")
    truth, noisy, results = (variables[name] for name in ("truth", "noisy", "results"))
    assert truth.dtype == noisy.dtype == np.complex64
    assert np.std(noisy - truth) == pytest.approx(0.25, rel=0.01)
    printed = {}
    for name, series in results.items():
        (printed[name],) = numbers(text, rf"^{name} +NRMSE ([\d.]+)%$")
        error = np.linalg.norm(series.astype(complex) - truth) / np.linalg.norm(truth)
        assert printed[name] == pytest.approx(100 * error, abs=0.006)
    assert max(printed[rule] for rule in ("mppca", "shrinkage", "hard")) < 0.16 * printed["noisy"]
    assert printed["svt"] < 0.3 * printed["noisy"]

    # A pixel, from the patches that hold it, one at a time.
    courses = []
    for top in range(40, 46):
        for left in range(15, 21):
            a = noisy[top : top + 6, left : left + 6].astype(complex).reshape(36, 60)
            u, s, vh = np.linalg.svd(a, full_matrices=False)
            beta = 36 / 60
            factor = 2 * (beta + 1) + 8 * beta / (beta + 1 + np.sqrt(beta**2 + 14 * beta + 1))
            k = np.sum(s > np.sqrt(factor * 60) * 0.25)
            freed = ((u[:, :k] * s[:k]) @ vh[:k]).reshape(6, 6, 60)
            courses.append(freed[45 - top, 20 - left])
    np.testing.assert_allclose(results["hard"][45, 20], np.mean(courses, axis=0), atol=1e-4)


def test_trajectory(run):
    text, variables, _ = run("trajectory")
    frames, reference, mass, fit = (variables[name] for name in ("frames", "reference", "mass", "fit"))
    views, pose, vibration = (variables[name] for name in ("views", "pose", "vibration"))
    total = 20 * (14 + 1 + 12 + 12 + 16)
    np.testing.assert_allclose(np.mean(vibration**2, axis=(0, 2)), 1 / mass, rtol=0.1)
    for k in range(0, 2000, 100):
        centre = np.average(frames[k], axis=0, weights=mass)
        expected, distance = Rotation.align_vectors(reference, frames[k] - centre, weights=mass)
        np.testing.assert_allclose(fit.rotation[k], expected.as_matrix(), atol=1e-9)
        np.testing.assert_allclose(fit.translation[k], -expected.apply(centre), atol=1e-9)
        assert fit.rmsd[k] == pytest.approx(distance / total**0.5)
        view = views[k] - np.average(views[k], axis=0, weights=mass)
        turned = Rotation.align_vectors(view, reference, weights=mass)[0].apply(reference)
        scale = np.sum(mass * np.sum(turned * view, axis=1)) / np.sum(mass * np.sum(turned**2, axis=1))
        assert pose.scale[k] == pytest.approx(scale)

    (before,) = numbers(text, r"^RMSD as recorded +(\S+)$")
    moved = np.sum((frames - reference) ** 2, axis=-1) @ mass / total
    assert before == round(float(np.sqrt(moved.mean())), 4)
    after, theory = numbers(text, r"^RMSD superposed +(\S+), expected (\S+)$")
    assert theory == round((294 / total) ** 0.5, 4)
    assert after == pytest.approx(theory, rel=0.01)
    truth = Rotation.from_matrix(variables["rotations"])
    off, blur = numbers(text, r"^rotations, by mass +(\S+) degrees off, expected (\S+)$")
    (equal,) = numbers(text, r"^rotations, equal weights (\S+) degrees off$")
    (seen,) = numbers(text, r"^rotations of the views +(\S+) degrees off$")
    for printed, found in (
        (off, Rotation.from_matrix(fit.rotation)),
        (seen, Rotation.from_matrix(pose.rotation).inv()),
    ):
        assert printed == round(float(np.degrees(np.sqrt(np.mean((found * truth).magnitude() ** 2)))), 3)
    moments = np.linalg.eigvalsh((mass * reference.T) @ reference)
    assert blur == round(float(np.degrees(np.sqrt(np.sum(1 / (moments.sum() - moments))))), 3)
    assert off == pytest.approx(blur, rel=0.04)
    assert equal > 1.4 * off
    scale_off, scale_blur = numbers(text, r"^scales of the views +(\S+)% off, expected (\S+)%$")
    assert scale_blur == round(float(100 / np.sqrt(moments.sum())), 3)
    assert scale_off == pytest.approx(scale_blur, rel=0.04)


def test_merged_adapters(run):
    text, variables, _ = run("merged_adapters")
    Bs, As, S, ranks = (variables[name] for name in ("Bs", "As", "S", "ranks"))
    assert (Bs.shape, As.shape, S.dtype) == ((6, 12, 1024, 8), (6, 12, 8, 768), np.float32)
    assert numbers(text, r"factors (\d+), in the products (\d+)$") == [Bs.size + As.size, 12 * 1024 * 768]
    errors = numbers(text, r"^error at rank 8 +(\S+)% +(\S+)%$")
    averaged = numbers(text, r"^mean of the factors +(\S+)% +(\S+)%$")
    for layer, error, of_means in zip((0, 11), errors, averaged, strict=True):
        weights = [0.3, 0.2, 0.2, 0.1, 0.1, 0.1]
        terms = list(zip(weights, Bs[:, layer].astype(float), As[:, layer].astype(float), strict=True))
        mean = sum(w * b @ a for w, b, a in terms)
        norm, values = np.linalg.norm(mean), np.linalg.svdvals(mean)
        np.testing.assert_allclose(S[layer], values[:48], rtol=1e-5, atol=1e-6)
        left = np.sqrt(np.append(np.cumsum(values[::-1] ** 2)[::-1], 0)) / norm  # by rank
        assert error == pytest.approx(100 * left[8], abs=2e-4)
        adapter = variables["best_b"][layer].astype(float) @ variables["best_a"][layer]
        assert np.linalg.norm(mean - adapter) / norm == pytest.approx(left[8], rel=1e-5)
        assert ranks[layer] == np.argmax(left <= 0.1)
        factors = sum(w * b for w, b, _ in terms) @ sum(w * a for w, _, a in terms)
        assert of_means == pytest.approx(100 * np.linalg.norm(mean - factors) / norm, abs=1e-3)
    assert numbers(text, r"^the least, by a dense SVD +(\S+)%$") == [pytest.approx(errors[1], abs=2e-4)]
    assert numbers(text, r"^rank for an error of 10% +(\d+) +(\d+)$") == [ranks[0], ranks[11]]


def test_matrix_product_state(run):
    text, variables, _ = run("matrix_product_state")
    exact, contracted, split = (variables[name] for name in ("exact", "contracted", "matrix_product_state"))

    def at(site, operator):
        return scipy.sparse.kron(
            scipy.sparse.kron(scipy.sparse.eye_array(2**site), operator),
            scipy.sparse.eye_array(2 ** (11 - site)),
            "csr",
        )

    z = [at(site, np.diag([-0.5, 0.5])) for site in range(12)]
    up = [at(site, np.array([[0, 0], [1, 0]])) for site in range(12)]
    H = sum(z[i] @ z[i + 1] + (up[i] @ up[i + 1].T + up[i].T @ up[i + 1]) / 2 for i in range(11))
    (energy,), ground = scipy.sparse.linalg.eigsh(H, 1, which="SA", v0=np.ones(4096) + np.arange(4096) % 7)
    assert numbers(text, r"energy (\S+)$") == [pytest.approx(energy, abs=1e-8)]
    assert abs(exact @ ground[:, 0]) == pytest.approx(1, abs=1e-9)

    def dense(bonds):
        """The state and the weights lost if it is cut to these bonds by SVDs that know of no blocks."""
        tensors, lost, rest = [], [], exact
        for left, right in zip([1, *bonds], bonds, strict=False):
            u, s, vh = np.linalg.svd(rest.reshape(2 * left, -1), full_matrices=False)
            tensors.append(u[:, :right].reshape(left, 2, right))
            lost.append(np.sum(s[right:] ** 2))
            rest = s[:right, None] * vh[:right]
        return contracted([*tensors, rest.reshape(-1, 2, 1)]), np.array(lost)

    bonds = [int(bond) for bond in re.search(r"^bonds for .* each: (.+)$", text, re.M)[1].split()]
    state, lost = dense(bonds)
    tensors, weights = split(exact, error=1e-3, ties=1e-6)
    np.testing.assert_allclose(contracted(tensors), state, atol=1e-12)
    np.testing.assert_allclose(weights, lost, atol=1e-14)
    assert np.all(weights <= 1e-6)
    fidelity = (exact @ state) ** 2 / (state @ state)
    discarded, infidelity, excess = numbers(
        text, r"^discarded (\S+), fidelity lost (\S+), energy (\S+) too high$"
    )
    assert discarded == infidelity == pytest.approx(1 - fidelity, rel=1e-4)
    assert excess == pytest.approx(state @ (H @ state) / (state @ state) - energy, rel=1e-4)

    raising = sum(up)
    rows = re.findall(r"^ +(\d+) +(\d+) +(\S+) +(\S+) +(\S+) +(\S+)$", text, re.M)
    assert [row[0] for row in rows] == ["4", "6", "8", "10", "16"]
    for row in rows:
        limit, bond = map(int, row[:2])
        lost_whole, spin_whole, lost_cut, spin_cut = map(float, row[2:])
        bonds = variables["whole"][limit][0]
        assert max(bonds) == bond <= limit
        assert lost_whole == pytest.approx(dense(bonds)[1].sum(), rel=1e-3)
        cut = contracted(split(exact, rank=limit)[0])
        assert lost_cut == pytest.approx(1 - (exact @ cut) ** 2 / (cut @ cut), rel=1e-3)
        raised = raising @ cut
        assert spin_whole < 1e-24
        assert spin_cut == pytest.approx(raised @ raised / (cut @ cut), rel=0.06, abs=1e-24)
        assert (spin_cut > 1e-7) == (limit in (6, 10))  # these cut a triplet


def test_digits_pca(run):
    text, _, _ = run("digits_pca")
    pixels, digits = load_digits(return_X_y=True)
    ratio = PCA(svd_solver="full").fit(pixels).explained_variance_ratio_
    assert "first components: " + " ".join(f"{share:.2%}" for share in ratio[:4]) in text
    for energy in (0.9, 0.95, 0.99):
        count = np.searchsorted(np.cumsum(ratio), energy) + 1
        assert numbers(text, rf"^{energy:.0%} of the variance: (\d+) components$") == [count]
    own = [
        PCA(0.9, svd_solver="full").fit(pixels[digits == digit][:174]).n_components_ for digit in range(10)
    ]
    assert re.search(r"^components (.+)$", text, re.M)[1].split() == [str(count) for count in own]


def test_many_regressions(run):
    text, variables, _ = run("many_regressions")
    A, y, truth = variables["A"], variables["y"], variables["truth"]
    normal = np.linalg.inv(A.mT @ A)
    x = (normal @ (A.mT @ y[..., None]))[..., 0]
    variance = np.sum((y - (A @ x[..., None])[..., 0]) ** 2, axis=1) / 36
    interval = scipy.stats.t.ppf(0.975, 36) * np.sqrt(variance * normal[:, 1, 1])
    covered = np.mean(np.abs(x[:, 1] - truth[:, 1]) < interval)
    assert numbers(text, r"true trend: ([\d.]+)%$") == [pytest.approx(100 * covered, abs=0.02)]
    assert covered == pytest.approx(0.95, abs=0.01)
    assert numbers(text, r"residual +([\d.]+),") == [round(float(np.sqrt(variance.mean())), 4)]
    (difference,) = numbers(text, r"largest difference +(\S+)$")
    assert 0 < difference < 1e-11
    np.testing.assert_allclose(variables["x"], x, rtol=1e-9, atol=1e-9)
    batched, looped, times = numbers(
        text, r"gpusvd.lstsq +([\d.]+) ms\n.*lstsq *([\d.]+) ms, ([\d.]+) times as long"
    )
    assert times == pytest.approx(looped / batched, rel=0.02, abs=0.1)


def test_rotations_of_a_bar(run):
    text, variables, _ = run("rotations")
    F, U = variables["F"], variables["U"]
    x, y, z = (variables[name] for name in "xyz")

    def moved(x, y, z):
        turn = 2 * np.pi / 8 * z
        c, s = np.cos(turn) / 1.3**0.5, np.sin(turn) / 1.3**0.5
        return np.stack([c * x - s * y, s * x + c * y, 1.3 * z], axis=-1)

    h = 1e-5
    steps = [(h, 0, 0), (0, h, 0), (0, 0, h)]
    columns = [
        moved(x + i, y + j, z + k) / (2 * h) - moved(x - i, y - j, z - k) / (2 * h) for i, j, k in steps
    ]
    np.testing.assert_allclose(F, np.stack(columns, axis=-1), atol=1e-8)
    for place in [(0, 0, 0), (3, 17, 60), (20, 20, 120)]:
        np.testing.assert_allclose(U[place], scipy.linalg.polar(F[place])[0], atol=1e-13)
    for loss in numbers(text, r"at most +(\S+)\n.*at most +(\S+)$"):
        assert 0 < loss < 1e-13
    assert "det U from 1.000000 to 1.000000" in text
    assert "volume from 1.000000 to 1.000000" in text
    # In cylindrical coordinates F is [[a, 0, 0], [0, a, a r t], [0, 0, s]]; an edge has r = sqrt 2.
    a, shear = 1.3**-0.5, 1.3**-0.5 * 2**0.5 * 2 * np.pi / 8
    largest = np.linalg.norm([[a, shear], [0, 1.3]], 2)
    assert numbers(text, r"largest stretch (\S+) at the edges, (\S+) on the axis") == [
        round(float(largest), 6),
        1.3,
    ]


def test_rotations_of_points(run):
    text, variables, _ = run("rotations")
    copies, helix, fit = (variables[name] for name in ("copies", "helix", "fit"))
    for copy, rotation, rmsd in list(zip(copies, fit.rotation, fit.rmsd, strict=True))[:20]:
        expected, distance = Rotation.align_vectors(helix, copy - copy.mean(axis=0))
        np.testing.assert_allclose(rotation, expected.as_matrix(), atol=1e-9)
        assert rmsd == pytest.approx(distance / 40**0.5)
    (before,) = numbers(text, r"^RMSD before +(\S+)$")
    assert before == round(float(np.sqrt(np.mean(np.sum((copies - helix) ** 2, axis=-1)))), 4)
    (after,) = numbers(text, r"^RMSD after +(\S+)$")
    (theory,) = numbers(text, r"^noise sqrt.* (\S+)$")
    assert theory == round(0.2 * (3 - 6 / 40) ** 0.5, 4)
    assert after == pytest.approx(theory, rel=0.01)
    found = Rotation.from_matrix(fit.rotation) * Rotation.from_matrix(variables["rotations"])
    off = np.degrees(found.magnitude())
    mean, most = numbers(text, r"to (\S+) degrees on average, (\S+) at most$")
    assert (mean, most) == (round(float(off.mean()), 2), round(float(off.max()), 2))


def test_latent_semantics(run):
    text, variables, _ = run("latent_semantics")
    sea, baking = variables["SEA"], variables["BAKING"]
    words = [set(re.findall("[a-z]+", line.lower())) - variables["COMMON"] for line in sea + baking]
    vocabulary = sorted(set().union(*words))
    weight = {word: np.log(12 / sum(word in line for line in words)) for word in vocabulary}
    a = np.array([[weight[word] * (word in line) for line in words] for word in vocabulary])
    query = np.array([weight[word] * (word in ("captain", "boat")) for word in vocabulary])
    u, s, vh = np.linalg.svd(a)
    close = (u[:, :2] * s[:2]) @ vh[:2]
    seen = u[:, :2] @ (u[:, :2].T @ query)

    def cosine(x, y):
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)

    rows = {row[17:]: (float(row[:6]), float(row[6:14])) for row in text.splitlines()[3:15]}
    assert list(rows) == sorted(rows, key=lambda line: -cosine(seen, close[:, (sea + baking).index(line)]))
    assert set(list(rows)[:6]) == set(sea)
    for column, line in enumerate(sea + baking):
        plain, latent = rows[line]
        assert plain == pytest.approx(cosine(query, a[:, column]), abs=0.006)
        assert latent == pytest.approx(cosine(seen, close[:, column]), abs=0.006)
    assert rows["At sea the wind drives the waves."] == (0, 1)
    share = np.sum(s[:2] ** 2) / np.sum(s**2)
    assert f"{len(vocabulary)} words, 12 sentences; two singular values hold {share:.1%}" in text


def test_matrix_completion(run):
    text, variables, _ = run("matrix_completion")
    truth, seen = variables["truth"], variables["seen"]
    np.testing.assert_array_equal(np.linalg.matrix_rank(truth), 3)
    x = np.zeros((60, 40))
    for tau in 10 * 10 ** np.linspace(0, -4, 200):
        u, s, vh = np.linalg.svd(np.where(seen[7], truth[7], x), full_matrices=False)
        x = (u * np.maximum(s - tau, 0)) @ vh
    np.testing.assert_allclose(variables["x"][7], x, atol=1e-9)

    off = np.sum((variables["x"] - truth) ** 2, axis=(1, 2), where=~seen)
    error = np.sqrt(off / np.sum(truth**2, axis=(1, 2), where=~seen))
    median, worst = numbers(text, r"^ 200 +([\d.]+)% +([\d.]+)%$")
    assert median == pytest.approx(100 * np.median(error), abs=0.006)
    assert worst == pytest.approx(100 * error.max(), abs=0.006)
    assert numbers(text, r"^   0 +([\d.]+)% +([\d.]+)%$") == [100, 100]
    assert median < 0.1
    assert numbers(text, r"^completed to 1%: (\d+) of 50$") == [np.count_nonzero(error < 0.01)]
    assert "numerical rank of the results: 3 to 3" in text
    assert f"{seen.mean():.1%} seen" in text
