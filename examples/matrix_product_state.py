"""Write the ground state of a chain of spins as a matrix product state, and truncate its bonds.

The Heisenberg chain of 12 spins conserves the number of spins up. At every bond the state is therefore a
block-diagonal matrix, with a block for each number of spins up to the left of the bond. The blocks differ in
size: `svd_ragged` decomposes them, and `truncate_ragged` with `across=True` keeps the largest singular values
of all blocks together. What remains is split at the next bond. Every truncation is an orthogonal projection,
so the weights discarded at all bonds add up to the loss of fidelity,
1 - <state|truncated>^2 / <truncated|truncated>.

The singular values come in multiplets (singlets, triplets, ...) that extend over several blocks. The ground
state has total spin 0. If the limit of the bond dimension cuts a multiplet, the truncated state does not.
With `ties=` multiplets are kept whole and the spin stays 0, at the price of a slightly smaller bond.
"""

import numpy as np

import gpusvd
from _picture import figure, output, save

SPINS = 12
HALF = SPINS // 2


def ones(bits):
    """The number of ones, spins up, in every number of so many bits."""
    return np.bitwise_count(np.arange(2**bits)).astype(int)


def matrix_product_state(state, **rules):
    """The tensors (left, spin, right) of a state with half of the spins up, and the weight lost per bond."""
    tensors, lost, ups, rest = [], [], np.zeros(1, int), state
    for bond in range(1, SPINS):
        row = np.add.outer(ups, [0, 1]).ravel()  # spins up to the left of the bond
        column = HALF - ones(SPINS - bond)  # what those to the right require on the left
        rest = rest.reshape(row.size, column.size)
        charges = np.unique(row)
        sectors = [rest[np.ix_(row == up, column == up)] for up in charges]
        blocks = gpusvd.svd_ragged(sectors, full_matrices=False)
        kept = gpusvd.truncate_ragged(blocks, across=True, absorb="right", **rules)
        ups = np.repeat(charges, [block.rank for block in kept])
        left, right = np.zeros((row.size, ups.size)), np.zeros((ups.size, column.size))
        for up, block in zip(charges, kept, strict=True):
            left[np.ix_(row == up, ups == up)] = block.left
            right[np.ix_(ups == up, column == up)] = block.right
        tensors.append(left.reshape(-1, 2, ups.size))
        lost.append(np.sum(rest**2) - np.sum(right**2))
        rest = right
    return [*tensors, rest.reshape(-1, 2, 1)], np.array(lost)


def contracted(tensors):
    state = np.ones((1, 1))
    for tensor in tensors:
        state = np.tensordot(state, tensor, 1).reshape(-1, tensor.shape[-1])
    return state.ravel()


# The exact ground state. The bits of a number are spins, and half of them are ones.

numbers = np.flatnonzero(ones(SPINS) == HALF)
H = (SPINS - 1) / 4 * np.eye(numbers.size)
for site in range(SPINS - 1):
    differ = np.flatnonzero(((numbers >> site) ^ (numbers >> (site + 1))) & 1)
    swapped = np.searchsorted(numbers, numbers[differ] ^ (3 << site))
    H[differ, differ] -= 0.5
    H[differ, swapped] += 0.5
energies, vectors = np.linalg.eigh(H)
exact = np.zeros(2**SPINS)
exact[numbers] = vectors[:, 0]


def total_spin(state):
    """The expectation of S^2, which is |S+ state|^2 if half of the spins are up."""
    raised, places = np.zeros_like(state), np.arange(state.size)
    for site in range(SPINS):
        down = places[(places >> site) & 1 == 0]
        raised[down | (1 << site)] += state[down]
    return raised @ raised / (state @ state)


def summary(**rules):
    """Bond dimensions, discarded weight, loss of fidelity, error of the energy, and total spin."""
    tensors, lost = matrix_product_state(exact, **rules)
    state = contracted(tensors)
    norm, part = state @ state, state[numbers]
    bonds = [tensor.shape[-1] for tensor in tensors[:-1]]
    infidelity = 1 - (exact @ state) ** 2 / norm
    return bonds, lost.sum(), infidelity, part @ H @ part / norm - energies[0], total_spin(state)


bonds, discarded, infidelity, excess, _ = summary(error=1e-3, ties=1e-6)
print(f"{SPINS} spins, energy {energies[0]:.8f}")
print("bonds for an error of 0.1% at each:", *bonds)
print(f"discarded {discarded:.4e}, fidelity lost {infidelity:.4e}, energy {excess:.4e} too high")
LIMITS = range(4, 21)
whole = {limit: summary(rank=limit, ties=1e-6) for limit in LIMITS}
cut = {limit: summary(rank=limit) for limit in LIMITS}
print("              whole multiplets            multiplets cut")
print("limit  bond   fidelity lost    spin      fidelity lost    spin")
for limit in (4, 6, 8, 10, 16):
    (bonds, _, *kept), (_, _, *split) = whole[limit], cut[limit]
    print(f"{limit:5} {max(bonds):5} {kept[0]:15.3e} {kept[2]:9.1e} {split[0]:18.3e} {split[2]:9.1e}")

drawing = figure(11, 3.6)
spectrum, fidelity, symmetry = drawing.subplots(1, 3)
middle, ups = exact.reshape(2**HALF, 2**HALF), ones(HALF)
for up in range(HALF + 1):
    S = gpusvd.svdvals(middle[np.ix_(ups == up, ups == HALF - up)])
    spectrum.semilogy(np.full(S.size, up), S, "_", color="C0", markersize=16)
spectrum.set_ylim(1e-6, 2)
spectrum.set_title("singular values at the middle bond")
spectrum.set_xlabel("spins up to the left: one block each")
for results, style, label in ((cut, "C1.-", "multiplets cut"), (whole, "C0.-", "whole multiplets")):
    _, discarded, infidelity, _, spin = zip(*results.values(), strict=True)
    fidelity.semilogy(LIMITS, infidelity, style, label=label)
    symmetry.semilogy(LIMITS, spin, style, label=label)
fidelity.semilogy(LIMITS, discarded, "k+", label="discarded weight")
fidelity.set_title("loss of fidelity")
symmetry.set_title("total spin, 0 in the ground state")
for ax in (fidelity, symmetry):
    ax.set_xlabel("limit of the bond dimension")
    ax.grid(alpha=0.3)
    ax.legend()
save(drawing, output())
