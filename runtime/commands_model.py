"""`shls verify` and `shls info`: models, and whether they do what they should."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shls.runtime.commands_common import Threads, read_frames, shipped_clip
from shls.runtime.errors import BadInput

if TYPE_CHECKING:
    import numpy as np


def verify(
    a: Annotated[Path, typer.Argument(help="Checkpoint or exported model: the reference.")],
    b: Annotated[Path, typer.Argument(help="Checkpoint or exported model.")],
    on: Annotated[str | None, typer.Option(help="Clip to compare on; the shipped one.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Objects in the clip's first frame.")] = None,
    count: Annotated[int, typer.Option(help="Frames of the clip, at most.", min=1)] = 60,
    cosine: Annotated[float | None, typer.Option(help="Least mean cosine of superfeatures.")] = None,
    iou: Annotated[float | None, typer.Option(help="Least mean IoU of the masks.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for the worst frames.")] = None,
    save_inputs: Annotated[Path | None, typer.Option(help="Keep frames and mask here, .npz.")] = None,
    replay: Annotated[Path | None, typer.Option(help="Take frames and mask from such a file.")] = None,
    threads: Threads = 0,
) -> None:
    """Compare two models on the same frames; exit code 1 if they differ more than they may."""
    from shls.export import verify as verification

    if replay and (on or mask):
        raise BadInput("--replay has frames and mask of its own; leave --on and --mask out")
    first, second = verification.open_either(a, b, threads)
    images, labels = verification.load_inputs(replay) if replay else _clip(on, mask, count)
    if save_inputs:
        verification.save_inputs(save_inputs, images, labels)
    default = verification.tolerance_for(first.contract, second.contract)
    tolerance = verification.Tolerance(
        default.cosine if cosine is None else cosine, default.iou if iou is None else iou
    )
    with typer.progressbar(length=len(images), label="frames", file=sys.stderr) as bar:
        verdict = verification.compare(
            first, second, images, labels, tolerance, pictures, lambda done: bar.update(done - bar.pos)
        )
    for name, path, session in (("A", a, first), ("B", b, second)):
        typer.echo(f"{name}  {path}: {session.contract.precision} on {session.backend}")
    digests = [session.contract.checkpoint_sha256 for session in (first, second)]
    if all(digests) and digests[0] != digests[1]:
        typer.echo("note: the two were made of different weights")
    typer.echo(verdict.table())
    for line in verdict.broken():
        typer.echo(f"BROKEN: {line}")
    if verdict.broken():
        raise typer.Exit(1)
    typer.echo("the two do the same within tolerances")


def info(file: Annotated[Path, typer.Argument(help="ONNX model or engine.")]) -> None:
    """Show what a model promises, and what an engine was built for."""
    import json

    from shls.runtime.session import describe

    typer.echo(json.dumps(describe(file), indent=2))


def _clip(on: str | None, mask: Path | None, count: int) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Frames and first mask; of the shipped clip, where none is named."""
    from shls.runtime.masks import read_mask

    if on is None:
        on, mask = shipped_clip(), mask or Path(shipped_clip()).with_name("bunny_mask.png")
    images = read_frames(on, count)
    return images, None if mask is None else read_mask(mask, images[0].shape[:2])
