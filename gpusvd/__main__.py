"""The command line: `gpusvd` and `python -m gpusvd`."""

import argparse
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gpusvd
from gpusvd._commands import compress, demo, expand, info, svd, warmup
from gpusvd._commands.errors import CommandError

EPILOG = """\
exit status: 0 on success; 1 if the result is not what it should be (a check failed, matrices without
factors); 2 if the command could not run, with a reason in one line; 130 after Ctrl-C; 141 if the reader of
the output is gone, as after `| head`; 143 after SIGTERM. Whatever the status, an output file is whole or
untouched."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader is gone, as after `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 141


def _run(argv: Sequence[str] | None) -> int:
    arguments = vars(parser().parse_args(argv))
    run = arguments.pop("run")
    try:
        with log_on_stderr(), exit_on_sigterm():
            run(**arguments)
    except CommandError as error:
        print(f"gpusvd: {error}", file=sys.stderr)
        return error.status
    except MemoryError as error:
        print(f"gpusvd: out of memory. {error}".rstrip(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


@contextmanager
def log_on_stderr() -> Iterator[None]:
    """Show what gpusvd logs, as that it compiles."""
    log, handler = logging.getLogger("gpusvd"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("gpusvd: %(message)s"))
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Raise SystemExit on SIGTERM, so that temporary files are removed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="gpusvd",
        description="Singular value decompositions of many small matrices at once.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"gpusvd {gpusvd.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_svd, _add_compress, _add_expand, _add_info, _add_warmup, _add_demo):
        add(commands)
    # What an error shows, too: argparse itself would write COMMAND here.
    top.usage = f"gpusvd [-h] [--version] {{{','.join(commands.choices)}}} ..."
    return top


def _add_svd(commands: Any) -> None:
    command = _command(
        commands,
        "svd",
        svd.run,
        "decompose the matrices in a .npy file",
        "Decompose an array (..., M, N) of matrices saved by numpy.save: float16, float32, float64, "
        "complex64, complex128, integers or bool. The factors are written as an .npz file with the arrays U, "
        "S and Vh of gpusvd.svd, which numpy.load opens. A matrix with NaN or Inf gets NaN factors and does "
        "not affect the others; the exit status is then 1.",
        "gpusvd svd batch.npy -o factors.npz",
    )
    command.add_argument("source", type=Path, metavar="MATRICES", help=".npy file of at least two dimensions")
    _add_output(command, "NPZ", "file for the factors")
    shape = command.add_mutually_exclusive_group()
    shape.add_argument(
        "--thin",
        dest="full_matrices",
        action="store_false",
        help="U is (..., M, K) and Vh (..., K, N), with K = min(M, N) (default)",
    )
    shape.add_argument(
        "--full", dest="full_matrices", action="store_true", help="U is (..., M, M) and Vh (..., N, N)"
    )
    shape.add_argument("--values-only", action="store_true", help="S alone; vectors are not computed")
    command.set_defaults(full_matrices=False)
    command.add_argument(
        "--driver",
        choices=("auto", "jacobi", "vendor"),
        default="auto",
        help="jacobi: small singular values to high relative accuracy; vendor: LAPACK; auto: the faster "
        "of the two (default)",
    )
    _add_threads(command)


def _add_compress(commands: Any) -> None:
    command = _command(
        commands,
        "compress",
        compress.run,
        "truncate the patches of a picture to their leading singular values",
        "Cut a picture into square patches, decompose them all in one call, truncate each by one rule, and "
        "write the resulting picture. Prints the fraction of the picture's numbers that remain, the peak "
        "signal-to-noise ratio (before the loss of a format such as JPEG), and the time. Takes grey and "
        "colour pictures of 8 bits; the matrix of a patch holds its colours side by side. Opacity is kept "
        "exactly. If a file has several frames or pages, the first is used.",
        "gpusvd compress photo.jpg -o out.png --patch 16 --energy 0.99",
    )
    command.add_argument("image", type=Path, metavar="IMAGE", help="picture in any format that Pillow reads")
    _add_output(command, "IMAGE", "picture to write, in the format of its file name extension")
    rules = command.add_mutually_exclusive_group(required=True)
    rules.add_argument(
        "--energy",
        dest="limit",
        action=_Rule,
        type=_fraction,
        metavar="E",
        help="the fewest singular values that hold this fraction, 0 to 1, of the squares of all",
    )
    rules.add_argument(
        "--error",
        dest="limit",
        action=_Rule,
        type=_not_negative,
        metavar="E",
        help="the fewest with at most this relative error (Frobenius norm) in each patch: 0.1 is energy 0.99",
    )
    rules.add_argument(
        "--rank",
        dest="limit",
        action=_Rule,
        type=_positive,
        metavar="K",
        help="K singular values of each patch",
    )
    _add_patch(command, compress.PATCH)
    command.add_argument(
        "--save",
        type=Path,
        metavar="NPZ",
        help="keep the factors for `gpusvd expand`, in a file that numpy.load opens: size of the picture, "
        "rank of each patch, and U, S and Vh of all their terms in float32",
    )
    _add_threads(command)


def _add_expand(commands: Any) -> None:
    command = _command(
        commands,
        "expand",
        expand.run,
        "rebuild a picture from the factors that compress saved",
        "Rebuild a picture from the factors that `gpusvd compress --save` wrote: the same pixels as compress "
        "wrote, bit for bit, on any machine.",
        "gpusvd expand factors.npz -o out.png",
    )
    command.add_argument("source", type=Path, metavar="NPZ", help="file written by gpusvd compress --save")
    _add_output(command, "IMAGE", "picture to write, in the format of its file name extension")


def _add_info(commands: Any) -> None:
    command = _command(
        commands,
        "info",
        info.run,
        "versions, processor, GPUs and cache folder",
        "Print what a bug report or a measurement should state: versions, processor, cores, the GPUs that "
        "CuPy finds, and the folder of compiled kernels.",
        "gpusvd info",
    )
    command.add_argument(
        "--kernels",
        action="store_true",
        help="also print which kernel each size of matrix gets, on the CPU and on a GPU",
    )


def _add_warmup(commands: Any) -> None:
    command = _command(
        commands,
        "warmup",
        warmup.run,
        "compile the kernels for the CPU, so that no first call has to wait",
        "Compile the kernels for the CPU and keep their machine code on disk, where later processes find it. "
        "Names each kernel that it compiles, and the folder.",
        "gpusvd warmup --dtype float32 float64",
    )
    dtypes = ("float32", "float64", "complex64", "complex128")
    command.add_argument(
        "--dtype",
        dest="dtypes",
        nargs="+",
        choices=dtypes,
        default=dtypes,
        metavar="DTYPE",
        help=f"of the matrices to come: {', '.join(dtypes)} (default: all)",
    )


def _add_demo(commands: Any) -> None:
    command = _command(
        commands,
        "demo",
        demo.run,
        "decompose and truncate all patches of a photograph, and compare with theory",
        "Decompose all patches of a photograph in one call, time it against NumPy, check its accuracy, "
        "truncate every patch, and write the pictures as one PNG.",
        "gpusvd demo",
    )
    command.add_argument("--image", type=Path, metavar="PATH", help="a picture of your own")
    _add_output(command, "PNG", "picture to write", default=Path("gpusvd-demo.png"))
    _add_patch(command, demo.PATCH)
    _add_threads(command)


# Arguments common to several commands


def _command(
    commands: Any, name: str, run: Callable[..., None], summary: str, description: str, example: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, epilog=f"example: {example}"
    )
    command.set_defaults(run=run)
    return command


def _add_output(command: argparse.ArgumentParser, kind: str, what: str, default: Path | None = None) -> None:
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar=kind,
        required=default is None,
        default=default,
        help=f"{what} (default: {default})" if default else what,
    )


def _add_patch(command: argparse.ArgumentParser, default: int) -> None:
    command.add_argument(
        "--patch",
        type=_positive,
        metavar="N",
        help=f"pixels per side; N need not divide the picture (default: {default}, or the shorter side of a "
        "smaller picture)",
    )


def _add_threads(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--threads",
        type=_positive,
        metavar="N",
        help="number of threads (default: one for each core that this process may use)",
    )


class _Rule(argparse.Action):
    """Store the limit, and the option's name as the rule."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any
    ) -> None:
        namespace.limit = values
        namespace.rule = self.option_strings[0].removeprefix("--")


def _number(
    convert: Callable[[str], float], within: Callable[[float], bool], expected: str
) -> Callable[[str], float]:
    """Return a parser of an option's number that names `expected` in its error message."""

    def read(text: str) -> float:
        try:
            number = convert(text)
        except ValueError:
            number = math.nan
        if not within(number):
            raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
        return number

    return read


_positive = _number(int, lambda number: number >= 1, "a whole number of at least 1")
_not_negative = _number(float, lambda number: 0 <= number < math.inf, "a number of at least 0")
_fraction = _number(float, lambda number: 0 <= number <= 1, "a number from 0 to 1")


if __name__ == "__main__":
    sys.exit(main())
