"""What `gpusvd._cuda.operations` computes from approximations, as Python runs it."""

from tests.simt.columns import approximate_inverse, approximate_inverse_root


def fine_reciprocal(x):
    y = approximate_inverse(x)
    error = -x * y + x.dtype.type(1.0)
    return error * y + y if x.itemsize == 4 else y * (error * error + error) + y


def fine_root(x):
    number = x.dtype.type
    held = max(x, number(2.0**-126 if x.itemsize == 4 else 2.0**-1020))
    y = approximate_inverse_root(held)
    if x.itemsize == 4:
        z = x * y
        return (-z * z + x) * (number(0.5) * y) + z
    z = held * y
    error = -z * y + number(1.0)
    return (z * error) * (number(0.375) * error + number(0.5)) + z
