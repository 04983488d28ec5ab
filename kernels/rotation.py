"""The Jacobi rotation of two columns, and when it is not needed: one source for scalars and for SIMD lane
groups.

The columns of the matrix under rotation are X_j = sqrt(scale_j) 2**exponent_j x_j, and those of the
accumulated basis are W_j = sqrt(scale_j) w_j. The rotation that makes X_p and X_q orthogonal,

    X_p <- c (X_p - t e X_q),    X_q <- c (X_q + t conj(e) X_p),    e = conj(g) / |g|,  g = X_pᴴ X_q,

is applied without its cosine, which goes into the scales instead (fast rotations: Gentleman 1973;
Hammarling 1974):

    x_p <- x_p - a x_q,    x_q <- x_q + b x_p,    scale <- scale c²,

two multiply-adds an entry instead of four. With s = sin, the scales are multiplied by 1 - s² and what is
rounded off is kept (`shrink`): without, singular values drift by 50 eps where many rotations are large.

The tangent comes from the classical formula (Rutishauser 1966), t = 2 g / (d ± sqrt(d² + 4 g²)) with
d = |X_q|² - |X_p|². Equal lengths (d = 0) rotate by 45 degrees: skipping those, as some implementations do,
returns [[1, .5], [.5, 1]] unchanged.
"""

from .lanes import (
    abs2,
    conjugate,
    fine_reciprocal,
    fine_root,
    maximum,
    select,
    small_square,
    widest_gap,
    with_sign,
)


def held_gap(gap):
    """The difference of two exponents, held to where the smaller column cannot change the larger one."""
    limit = widest_gap(gap)
    return maximum(0.0 - limit, 0.0 - maximum(0.0 - gap, 0.0 - limit))


def rotation(alpha, beta, gamma, weight_p, weight_q, tol2, alive):
    """The rotation of columns p and q in the lanes where |cos| > tol, and none in the others.

    alpha, beta : |x_p|², |x_q|²
    gamma : x_pᴴ x_q
    weight_p, weight_q : the squares of what multiplies x_p and x_q, but for a common factor; neither so far
        from one that the fourth power of its ratio to one leaves the range of numbers
    Returns a, b, |x_p|² and |x_q|² after it, sin², cos² of the angle between the columns, and where it
    rotates. One division and one square root: on wide groups these cost as much as the columns of a small
    matrix.
    """
    size2 = abs2(gamma)
    product = alpha * beta
    active = alive & (size2 > tol2 * product)
    difference = weight_q * beta - weight_p * alpha
    four_g2 = 4.0 * (weight_p * size2) * weight_q
    root = fine_root(difference * difference + four_g2)
    denominator = root * (abs(difference) + root)
    divisor = denominator * product
    proper = alive & (divisor > tol2 * small_square(divisor))  # below, no rotation now, but another sweep
    quotient = select(proper, fine_reciprocal(divisor), 0.0)
    cos2 = select(proper, size2 * (denominator * quotient), select(active, 1.0, 0.0 * size2))
    inverse = select(active, product * quotient, 0.0)
    sin2 = 0.5 * four_g2 * inverse
    factor = with_sign(2.0 * root * inverse, difference)
    factor_p, factor_q = factor * weight_q, factor * weight_p
    growth = 1.0 + (factor_p * size2) * factor_q
    after_p = (alpha - factor_p * size2) * growth
    after_q = (beta + factor_q * size2) * growth
    return conjugate(gamma) * factor_p, gamma * factor_q, after_p, after_q, sin2, cos2, active


def crossed(gamma, other, inner, outer, a, b):
    """The inner product of columns x and v after x has met u, and v has met y.

    From those before: gamma = xᴴv, other = yᴴu, inner = xᴴy, outer = uᴴv, with x <- x - a u and v <- v + b y.
    """
    return gamma + b * inner - conjugate(a) * (outer + b * conjugate(other))


def shrink(scale, rest, sin2):
    """scale (1 - sin²), with what rounding drops carried in `rest`."""
    change = rest - (scale + rest) * sin2
    after = scale + change
    return after, change - (after - scale)


def needs_another_sweep(n, cos2, sin2, tol2):
    """The stopping rule, on the largest cos² and sin² of a sweep: quadratic convergence makes the next
    cosines n cos max(cos, sin).

    Weaker rules are wrong: n cos sin misses a tiny column that lies along a large one (cosine large, sine
    tiny), and n cos² misses clusters (cosine small, angle 45 degrees).
    """
    return (n * cos2) * (n * maximum(cos2, sin2)) >= tol2
