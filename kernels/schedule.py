"""Which columns meet in which round: every round a set of disjoint pairs, every pair once a sweep.

The circle method of round-robin tournaments: one player stays, the others walk around a circle. One source
for every kernel that rotates the pairs of a round together.
"""


def rounds(players):
    """The number of rounds in which everyone meets everyone once."""
    return players - 1 + players % 2


def meeting(players, number, i):
    """The i-th pair (p, q), p < q, of round `number`, for i < players // 2. With an odd number of players
    one sits out."""
    circle = players - 1 + players % 2
    offset = i + players % 2
    if offset == 0:
        return number, circle
    p, q = number + offset, number - offset
    p, q = p - circle if p >= circle else p, q + circle if q < 0 else q
    return (p, q) if p < q else (q, p)
