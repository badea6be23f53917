"""`shls verify` and `shls info`: models, and whether they do what they should."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadInput
from .options import Embedding, Threads, read_frames, require, shipped_clip

if TYPE_CHECKING:
    import numpy as np

    from shls.export.verify import Verdict

    from ..backends.base import Refiner, Session


def verify(
    a: Annotated[Path, typer.Argument(help="Checkpoint or exported model: the reference.")],
    b: Annotated[Path, typer.Argument(help="Checkpoint or exported model.")],
    on: Annotated[str | None, typer.Option(help="Clip to compare on; the shipped one.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Objects in the clip's first frame.")] = None,
    count: Annotated[int, typer.Option(help="Frames of the clip, at most.", min=1)] = 60,
    cosine: Annotated[
        float | None, typer.Option(help="Least mean cosine of superfeatures, or of crops' logits.")
    ] = None,
    iou: Annotated[float | None, typer.Option(help="Least mean IoU of the masks.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for the worst frames.")] = None,
    save_inputs: Annotated[Path | None, typer.Option(help="Keep frames and mask here, .npz.")] = None,
    replay: Annotated[Path | None, typer.Option(help="Take frames and mask from such a file.")] = None,
    embedding: Embedding = None,
    threads: Threads = 0,
) -> None:
    """Compare two embeddings, or two refiners, on the same frames; exit code 1 if they differ more than they may."""
    from shls.export import verify as verification

    from .._support.files import check_writable

    if any(verification.is_checkpoint(path) for path in (a, b)):
        require("torch", "export")
    if pictures:
        check_writable(verification.picture_path(pictures, 0))
    if replay and (on or mask):
        raise BadInput("--replay has frames and mask of its own; leave --on and --mask out")
    images, labels = verification.load_inputs(replay) if replay else _clip(on, mask, count)
    if save_inputs:
        verification.save_inputs(save_inputs, images, labels)
    models, compare = _opened(a, b, embedding, threads)
    tolerance = verification.tolerance_for(models[0].contract, models[1].contract)
    tolerance = tolerance._replace(**{name: v for name, v in (("cosine", cosine), ("iou", iou)) if v is not None})
    with typer.progressbar(length=len(images), label="frames", file=sys.stderr) as bar:
        verdict = compare(images, labels, tolerance, pictures, lambda done: bar.update(done - bar.pos))
    for name, path, model in (("A", a, models[0]), ("B", b, models[1])):
        typer.echo(f"{name}  {path}: {model.contract.precision} on {model.backend}")
    if models[0].contract.checkpoint_sha256 != models[1].contract.checkpoint_sha256:
        typer.echo("note: the two were made of different weights")
    typer.echo(verdict.table())
    for line in verdict.broken():
        typer.echo(f"BROKEN: {line}")
    if verdict.broken():
        raise typer.Exit(1)
    typer.echo("the two do the same within tolerances")


def _opened(
    a: Path, b: Path, embedding: Path | None, threads: int
) -> tuple[tuple[Session, Session] | tuple[Refiner, Refiner], Callable[..., Verdict]]:
    """Two networks of one role, and what compares them."""
    from functools import partial

    from shls.export.verify import compare, open_either
    from shls.export.verify_refiner import compare_refiners, is_refiner, open_refiners

    from ..backends.base import open_session
    from ..backends.pretrained import ASSETS, EXACT

    if is_refiner(a):
        refiners = open_refiners(a, b, threads)
        return refiners, partial(compare_refiners, *refiners, open_session(embedding or ASSETS / EXACT, threads))
    if embedding:
        raise BadInput(f"{a}: is no refiner, --embedding is for one; leave it out")
    sessions = open_either(a, b, threads)
    return sessions, partial(compare, *sessions)


def info(file: Annotated[Path, typer.Argument(help="ONNX model or engine.")]) -> None:
    """Show what a model promises, and what an engine was built for."""
    import json

    from ..backends.base import describe

    typer.echo(json.dumps(describe(file), indent=2))


def _clip(on: str | None, mask: Path | None, count: int) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Frames and first mask; of the shipped clip, where none is named."""
    from ..io.masks import read_mask

    if on is None:
        on, mask = shipped_clip(), mask or Path(shipped_clip()).with_name("bunny_mask.png")
    images = read_frames(on, count)
    return images, None if mask is None else read_mask(mask, images[0].shape[:2])
