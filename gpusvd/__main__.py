"""The command line: `gpusvd` and `python -m gpusvd`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import gpusvd
from gpusvd import _demo


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 where a check failed, 2 where it could not run."""
    arguments = parser().parse_args(argv)
    try:
        _demo.run(arguments.image, arguments.output, arguments.patch, arguments.threads)
    except _demo.DemoError as error:
        print(f"gpusvd: {error}", file=sys.stderr)
        return error.status
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="gpusvd", description="Batched singular value decomposition.")
    top.add_argument("--version", action="version", version=f"gpusvd {gpusvd.__version__}")
    commands = top.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="decompose and truncate all patches of a photograph",
        description="Decompose all patches of a photograph in one call, time it beside NumPy, check its "
        "accuracy, truncate every patch, and write the pictures as one PNG.",
    )
    demo.add_argument("--image", type=Path, metavar="PATH", help="a picture of your own")
    demo.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PNG",
        default=Path("gpusvd-demo.png"),
        help="default: %(default)s",
    )
    demo.add_argument(
        "--patch", type=positive, metavar="N", default=8, help="pixels a side (default: %(default)s)"
    )
    demo.add_argument("--threads", type=positive, metavar="N", help="default: the cores this process may use")
    return top


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
