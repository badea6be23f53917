"""`shls mark`: the mask of marked objects in one frame, with a preview picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadInput
from .options import Device, Model, Prompter, Threads
from .run_options import Boxes, FirstMask, Objects, Points, SourceName, parse_marks

if TYPE_CHECKING:
    import numpy as np

    from ..io.objects import NamedMask
    from ..types import Frame


def mark(
    source: SourceName,
    mask: FirstMask = None,
    box: Boxes = None,
    point: Points = None,
    objects: Objects = None,
    frame: Annotated[int, typer.Option(help="Number of the frame, from 0.", min=0)] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="File for the mask, a palette PNG of object ids with the objects' names, for --mask."),
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(help="File for the frame with its objects coloured, .jpg or .png.")
    ] = None,
    model: Model = None,
    prompter: Prompter = None,
    threads: Threads = 0,
    device: Device = "auto",
) -> None:
    """Mark objects in one frame, and write their mask and a preview picture: try prompts before a long run."""
    from ..io.masks import write_mask
    from ..prompts.first_frame import first_mask
    from ..prompts.preview import draw_preview
    from ..segmenter import open_segmenter

    marks = parse_marks(mask, box, point, objects)
    _check_outputs(out, preview, source, marks.files)
    given = _read_frame(source, frame)
    if marks.prompts:
        with open_segmenter(model, threads, device=device, refined=False, prompter=prompter) as segmenter:
            found = first_mask(given.image, prompts=marks.prompts, solve=segmenter.solve)
    else:
        found = first_mask(given.image, mask, frame=frame)
    if out is not None:
        write_mask(out, found.labels, found.names, found.file_ids)
    if preview is not None:
        _write_picture(preview, draw_preview(given.image, found, marks.prompts))
    _report(found)
    for path in filter(None, (out, preview)):
        typer.echo(f"  {path}")


def _check_outputs(out: Path | None, preview: Path | None, source: str, files: list[Path]) -> None:
    """Raise BadInput if an output is of the wrong kind, would replace an input, or cannot be written."""
    from .._support.files import check_writable
    from ..io.image_files import source_files

    if out is None and preview is None:
        raise BadInput("no output is given. Give --out MASK.png, --preview PICTURE.jpg, or both")
    if out is not None and preview is not None and out.resolve() == preview.resolve():
        raise BadInput(f"{out}: named for two outputs (expected a name for each). Rename one of them")
    inputs = [path for path in [*source_files(source), *files] if path.exists()]
    for path, suffixes in ((out, (".png",)), (preview, (".jpg", ".jpeg", ".png"))):
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            raise BadInput(
                f"{path}: wrong kind of file (got '{path.suffix}', expected {', '.join(suffixes)}). Rename it"
            )
        if path.exists() and any(path.samefile(known) for known in inputs):
            raise BadInput(f"{path}: is an input and would be overwritten. Give another name for the output")
        check_writable(path)


def _read_frame(source: str, number: int) -> Frame:
    from ..io.sources import open_source

    with open_source(source, number) as frames:
        frame = next(iter(frames), None)
    if frame is None:
        raise BadInput(f"{source}: there is no frame {number}. Give a smaller --frame")
    return frame


def _write_picture(path: Path, image: np.ndarray) -> None:
    import io

    from PIL import Image

    from .._support.files import replace_file

    content = io.BytesIO()
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    Image.fromarray(image).save(content, kind, quality=90)
    replace_file(path, content.getvalue())


def _report(found: NamedMask) -> None:
    """Print the size and the place of each object."""
    from ..io.json_sink import describe
    from ..io.objects import ObjectTable
    from ..types import Mask

    table = ObjectTable()
    for one in describe(Mask(table.add(found), {}), table):
        name = f" {one['name']}" if "name" in one else ""
        name += f" ({one['mask_id']} in the mask)" if "mask_id" in one else ""
        ratio = 100 * one["area"] / found.labels.size
        box = ",".join(map(str, one["box"]))
        typer.echo(f"object {one['id']}{name}: {one['area']} pixels, {ratio:.1f} % of the frame, box {box}")
