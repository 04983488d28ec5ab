"""`gpusvd expand`: rebuild a picture from the factors that `gpusvd compress --save` wrote."""

from pathlib import Path

from gpusvd._commands import factors, pictures
from gpusvd._commands.errors import need
from gpusvd._commands.files import check_apart, replacing, size
from gpusvd._commands.report import counted


def run(source: Path, output: Path) -> None:
    """Add up the terms of every patch and write the picture."""
    need("expand", "pillow", "PIL")
    check_apart({"the factors": source, "--output": output})
    form = pictures.format_of(output)
    with replacing(output) as file:
        packed = factors.read_picture(source)
        print(f"picture  {pictures.described(packed.shape)}, {counted(packed.S.size, 'term')}", flush=True)
        pictures.write(file, packed.pixels(), form, output)
    print(f"written  {output}, {size(output)}")
