"""`shls export`: from a checkpoint to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shls.runtime.commands_common import require
from shls.runtime.errors import BadInput


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint file, or a training folder.")],
    out: Annotated[Path, typer.Option(help="ONNX file to write.")],
    size: Annotated[str, typer.Option(help="Network input, WIDTHxHEIGHT.")] = "864x480",
    frames: Annotated[
        str | None, typer.Option(help="Source to compare with torch on; the shipped clip.")
    ] = None,
) -> None:
    """Write a checkpoint as ONNX, compared with torch on real frames."""
    require("torch", "export")
    require("onnx", "export")
    from itertools import islice

    from shls.export.to_onnx import export_onnx
    from shls.runtime.segmenter import SHIPPED_MODEL
    from shls.runtime.sources import open_source

    width, height = _parse_size(size)
    with open_source(frames or str(SHIPPED_MODEL.parent / "bunny.mp4")) as source:
        images = [frame.image for frame in islice(source, 4)]
    report = export_onnx(checkpoint, out, height, width, images)
    typer.echo(
        f"{report.path}: {report.megabytes:.1f} MB, {report.contract.network} at {size}, opset {report.contract.opset}; "
        f"largest difference to torch {report.max_difference:.1e} over {report.frames} frames"
    )


def _parse_size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError:
        raise BadInput(f"size {text!r}; expected WIDTHxHEIGHT, as in 864x480") from None
    return width, height
