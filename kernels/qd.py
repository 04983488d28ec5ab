"""The singular values of bidiagonal matrices by the differential quotient difference algorithm with shifts,
one matrix a lane (Fernando and Parlett 1994).

A step replaces q and e, the squares of the entries of B, by those of the B' with B'ᵀ B' = B Bᵀ - shift, and
the last entry falls to the smallest eigenvalue. The matrices of a tile step together, each with a shift of
its own, on the part of B from `low` to `high` that is the last one not yet decoupled; what was subtracted is
kept for every place, so that a part may wait with other shifts behind it. A shift above the smallest
eigenvalue turns some pivot negative: that lane takes its step again, with a smaller one.

Places i and i + 1 are decoupled where that moves no singular value by more than a quarter of the rounding
error of the largest. By Weyl's bound on B Bᵀ it moves eigenvalues by the square root of e_i q_i+1, beside
e_i itself above, and a singular value by that over its own size, whose square is above what was subtracted:
so shifting decouples e_i well before it reaches zero.

Shifts come from the vector of the last pivot, as if it were that of the smallest eigenvalue (Parlett and
Marques 2000, case 4): a is the squared length of the rest of it, θ = q_high / (1 + a) its Rayleigh quotient
with residual r = θ √a, so that θ - r holds for the eigenvalue next to θ, and θ - r² / gap where the others
are a gap away, which is guessed. The guess fails in one step of ten, and again and again where the smallest
one is in a cluster further up: it is taken back by ever more. For random matrices the slowest of eight lanes
takes four steps a value in double precision, that of sixteen three and a half in single.
"""

import math

from .lanes import any_lane, fill, jit, load, max_lanes, maximum, rounding, section, select, store

STEPS = 12  # a column, after which a lane counts as failed
NEAR = 0.5  # up to which `a` is believed
CAUTIOUS = 0.4  # of the smallest pivot, the shift before that; more with every step that does not fail
FURTHER = 8.0  # times the previous reduction: how much a shift that failed is reduced next
AWAY = 0.75  # of the smallest pivot but the last, the guess at the next eigenvalue


@jit
def minimum(a, b):
    return 0.0 - maximum(0.0 - a, 0.0 - b)


@jit
def step(q, e, gone, q1, e1, gone1, last, low, high, shift, floor):
    """One step of every lane from q, e and the shifts so far, `gone`, to the primed ones.

    Returns where a pivot is negative; and of the part that is the last one now: its ends, `low` beyond all
    others if nothing is left, its last pivot, the smallest of all and of the others, and a.
    """
    on = low == 0.0
    taken = select(on, shift, 0.0)
    pivot, shifts = load(q, 0) - taken, load(gone, 0) + taken
    store(gone1, 0, shifts)
    failed = on & (pivot < 0.0)
    zero = 0.0 * shift
    negligible = 0.5 * rounding(q)
    least, others, rest, start = pivot, zero + math.inf, zero, zero
    new_low, new_high = zero + (last + 1.0), zero
    bottom, above, smallest, second, a = zero, zero, zero, zero, zero
    for i in range(last):
        ei, following = load(e, i), load(q, i + 1)
        place = zero + (i + 1.0)
        going = (low <= place) & (high >= place)
        inside = on & going & (ei > floor)
        total = select(inside, pivot + ei, pivot)
        inverse = 1.0 / maximum(total, floor)
        ratio = following * inverse
        entry = select(inside, ei * ratio, ei)
        taken = select(going, shift, 0.0)
        others = minimum(others, pivot)
        large = entry > negligible * (total + shifts)
        pivot = select(inside, pivot * ratio, following) - taken
        shifts = load(gone, i + 1) + taken
        coupled = (entry > floor) & (large | (entry * (pivot + load(e, i + 1)) > floor * shifts))
        entry = select(coupled, entry, 0.0)
        store(q1, i, total)
        store(e1, i, entry)
        store(gone1, i + 1, shifts)
        failed = failed | (going & (pivot < 0.0))
        rest = select(coupled, entry * inverse * (1.0 + rest), 0.0)
        start = select(coupled, start, place)
        others = select(coupled, others, math.inf)
        least = select(coupled, minimum(least, pivot), pivot)
        new_low, new_high = select(coupled, start, new_low), select(coupled, place, new_high)
        bottom, above = select(coupled, pivot, bottom), select(coupled, total, above)
        a = select(coupled, rest, a)
        smallest, second = select(coupled, least, smallest), select(coupled, others, second)
        on = going
    store(q1, last, pivot)
    store(e1, last, zero)
    return failed, new_low, new_high, bottom, above, smallest, second, a


@jit
def shifts_from(bottom, above, smallest, second, a, two, within, bold):
    """A shift, a smaller one should it fail, and the next `bold`, the part of the smallest pivot that is
    taken where a tells nothing. Where two places are left, the shift is their smaller eigenvalue times
    `within`, which is as near to one as rounding needs."""
    quotient = bottom * (1.0 / (1.0 + a))
    residual = quotient * math.sqrt(a)
    believed = (a < NEAR) & (smallest >= bottom)
    safe = select(believed, quotient - residual, bold * smallest)
    gap = AWAY * second - quotient
    better = quotient - residual * (residual / gap)
    shift = select((smallest >= bottom) & (gap > residual), maximum(better, safe), safe)
    if any_lane(two):
        coupling, difference = a * above, above - bottom
        both = above + bottom
        root = math.sqrt(difference * difference + coupling * (coupling + 2.0 * both))
        smaller = select(bottom > 0.0, 2.0 * above * (bottom / (both + coupling + root)), 0.0)
        shift = select(two, smaller * within, shift)
    back = maximum(0.25 * shift, shift - 3.0 * (smallest - shift))
    return shift, minimum(safe, back), select(believed, CAUTIOUS, bold + (1.0 - bold) * (1.0 / 3.0))


@jit
def take_back(q, e, gone, q1, e1, gone1, last, failed):
    for i in range(last + 1):
        store(q1, i, select(failed, load(q, i), load(q1, i)))
        store(e1, i, select(failed, load(e, i), load(e1, i)))
        store(gone1, i, select(failed, load(gone, i), load(gone1, i)))


@jit
def finish(q, gone, values, first, last):
    for i in range(first, last):
        store(values, i, math.sqrt(maximum(load(q, i) + load(gone, i), fill(q, 0.0))))


@jit
def bidiagonal_values(room, n, alive, values):
    """The singular values of B from q and e, the first 2 n groups of `room`, which has 6 n, in the lanes of
    the mask; in no order. The last e is to be 0, and the largest of all near one. Returns the lanes where
    they were found."""
    largest = fill(room, 0.0)
    for i in range(2 * n):
        largest = maximum(load(room, i), largest)
    unit = 0.25 * rounding(room)
    floor = select(alive, largest * unit * unit, math.inf)  # where all is negligible, nothing is done
    zero = fill(room, 0.0)
    for i in range(2 * n, 3 * n):
        store(room, i, zero)
    low, high = select(alive, zero, zero + n * 1.0), select(alive, zero + (n - 1.0), zero)
    shift, safe, bold = zero, zero, zero + CAUTIOUS
    within = 1.0 - 8.0 * rounding(room)
    last = n - 1
    now, then = 0, 3 * n
    for _ in range(STEPS * n + STEPS):
        if last == 0 or not any_lane(low < high):
            break
        q, e, gone = section(room, now, n), section(room, now + n, n), section(room, now + 2 * n, n)
        q1, e1, gone1 = section(room, then, n), section(room, then + n, n), section(room, then + 2 * n, n)
        failed, new_low, new_high, bottom, above, smallest, second, a = step(
            q, e, gone, q1, e1, gone1, last, low, high, shift, floor
        )
        new_shift, new_safe, bold = shifts_from(
            bottom, above, smallest, second, a, new_high == new_low + 1.0, within, bold
        )
        if any_lane(failed):
            take_back(q, e, gone, q1, e1, gone1, last, failed)
            bold = select(failed, CAUTIOUS, bold)
            new_shift = select(failed, safe, new_shift)
            lower = safe - FURTHER * (shift - safe) - 16.0 * rounding(room) * safe
            new_safe = select(failed, maximum(lower, zero), new_safe)
            new_low, new_high = select(failed, low, new_low), select(failed, high, new_high)
        low, high, shift, safe = new_low, new_high, new_shift, new_safe
        now, then = then, now
        top = int(max_lanes(high))
        finish(section(room, now, n), section(room, now + 2 * n, n), values, top + 1, last + 1)
        last = top
    finish(section(room, now, n), section(room, now + 2 * n, n), values, 0, last + 1)
    return alive & ~(low < high)
