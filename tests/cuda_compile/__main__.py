"""Print what kernels cost, or write it to the table."""

from argparse import ArgumentParser

from . import table
from .cost import ARCHITECTURES
from .registry import cuda_kernels

NUMBERS = ("registers", "spill_stores", "spill_loads", "local", "shared")
KINDS = ("all", "single", "double", "special", "shuffle", "shared", "local", "global", "barrier", "integer")


def main():
    parser = ArgumentParser(prog="python -m tests.cuda_compile", description=__doc__)
    parser.add_argument("words", nargs="*", help="kernels whose names hold all of these; all without")
    parser.add_argument("--arch", choices=ARCHITECTURES, default="sm_90", help="to print (default: sm_90)")
    parser.add_argument("--write", action="store_true", help="write the table, for all architectures")
    given = parser.parse_args()
    kernels = [k for k in cuda_kernels() if all(word in k.name.split() for word in given.words)]
    if not kernels:
        parser.error(f"no kernel is named {' '.join(given.words)}")
    if given.write:
        table.write(kernels)
        return
    print(
        f"{given.arch}; the loop: instructions once around the main loop, and clocks of it and of a rotation"
    )
    print(f"{'kernel':32}", *(f"{name.replace('_', ' ')[:9]:>9}" for name in NUMBERS), "| loop", end="")
    print("", *(f"{kind:>8}" for kind in KINDS), f"{'clocks':>8} {'rotation':>8} bound by")
    for name, of_kernel in table.rows(kernels, [given.arch]):
        row = of_kernel[given.arch]
        print(f"{name:32}", *(f"{row[number]:9}" for number in NUMBERS), "|     ", end="")
        print("", *(f"{row['loop'].get(kind, 0):8}" for kind in KINDS), end="")
        print(f" {row['clocks']:8.2f} {row.get('clocks_a_rotation', 0):8.3f} {row['bound']}")


if __name__ == "__main__":
    main()
