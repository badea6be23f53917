"""`shls labelme`: the objects of the first image, carried through a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput
from .options import Device, Model, Threads


def labelme(
    folder: Annotated[
        Path, typer.Argument(help="Folder of images in natural order; the first image has a labelme JSON file.")
    ],
    uncertain: Annotated[
        float,
        typer.Option(help="Confidence, 0 to 1, below which a shape gets the flag `uncertain`.", min=0, max=1),
    ] = 0.8,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace JSON files of further images. By default an error.")
    ] = False,
    model: Model = None,
    threads: Threads = 0,
    device: Device = "auto",
) -> None:
    """Follow the objects of the first image's labelme file, and write a labelme file per further image."""
    from ..formats.labelme_folder import LabelmeSink, check_free, json_of, read_first
    from ..io.image_files import source_files
    from ..io.sources import open_source
    from ..pipeline import follow
    from ..segmenter import open_segmenter

    if not folder.is_dir():
        raise BadInput(f"{folder}: not a folder (expected a folder of images). Check the name")
    files = source_files(str(folder))
    if not overwrite:
        check_free(files)
    with open_source(str(folder)) as frames:
        mask, objects = read_first(files[0], frames.size)
        with (
            open_segmenter(model, threads, device=device) as segmenter,
            LabelmeSink(files, objects, uncertain) as sink,
        ):
            summary = follow(frames, segmenter, lambda _: mask.labels, sink)
    typer.echo(f"{len(objects)} objects of {json_of(files[0])} in {summary.frames - 1} further images")
