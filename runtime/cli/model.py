"""`shls verify` and `shls info`: comparison of two models, and the contract of one."""

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

    from shls.export.verdict import Verdict

    from ..backends.base import PromptNetwork, Refiner, Session


def verify(
    a: Annotated[Path, typer.Argument(help="Reference: checkpoint or exported model.")],
    b: Annotated[Path, typer.Argument(help="Model to compare: checkpoint or exported model.")],
    on: Annotated[str | None, typer.Option(help="Clip to compare on; the shipped clip by default.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Objects in the first frame of the clip: a mask file.")] = None,
    count: Annotated[int, typer.Option(help="Largest number of frames.", min=1)] = 60,
    cosine: Annotated[
        float | None, typer.Option(help="Lowest mean cosine of superfeatures, or of the logits of crops; by precision.")
    ] = None,
    iou: Annotated[float | None, typer.Option(help="Lowest mean IoU of the masks, 0 to 1; by precision.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for pictures of the three worst frames.")] = None,
    save_inputs: Annotated[Path | None, typer.Option(help="File to keep frames and mask in, .npz.")] = None,
    replay: Annotated[Path | None, typer.Option(help="File of --save-inputs to take frames and mask from.")] = None,
    embedding: Embedding = None,
    threads: Threads = 0,
) -> None:
    """Compare two networks of one kind on the same frames; exit code 1 if a tolerance is not kept."""
    from shls.export.replay import load_inputs
    from shls.export.replay import save_inputs as save
    from shls.export.verdict import tolerance_for
    from shls.export.verify import is_checkpoint
    from shls.export.worst_frames import picture_path

    from .._support.files import check_writable

    if any(is_checkpoint(path) for path in (a, b)):
        require("torch", "export")
    if pictures:
        check_writable(picture_path(pictures, 0))
    if replay and (on or mask):
        raise BadInput("--replay: brings its own frames and mask. Leave --on and --mask out")
    images, labels = load_inputs(replay) if replay else _clip(on, mask, count)
    if save_inputs:
        save(save_inputs, images, labels)
    models, compare = _opened(a, b, embedding, threads)
    tolerance = tolerance_for(models[0].contract, models[1].contract)
    tolerance = tolerance._replace(**{name: v for name, v in (("cosine", cosine), ("iou", iou)) if v is not None})
    with typer.progressbar(length=len(images), label="frames", file=sys.stderr) as bar:
        verdict = compare(images, labels, tolerance, pictures, lambda done: bar.update(done - bar.pos))
    for name, path, model in (("A", a, models[0]), ("B", b, models[1])):
        typer.echo(f"{name}  {path}: {model.contract.precision} on {model.backend}")
    if models[0].contract.checkpoint_sha256 != models[1].contract.checkpoint_sha256:
        typer.echo("note: the two models have different weights")
    typer.echo(verdict.table())
    for line in verdict.broken():
        typer.echo(f"BROKEN: {line}")
    if verdict.broken():
        raise typer.Exit(1)
    typer.echo("the two models agree within the tolerances")


def _opened(
    a: Path, b: Path, embedding: Path | None, threads: int
) -> tuple[
    tuple[Session, Session] | tuple[Refiner, Refiner] | tuple[PromptNetwork, PromptNetwork], Callable[..., Verdict]
]:
    """Open two networks of one role; return them with the function that compares them."""
    from functools import partial

    from shls.export.verify import compare, open_either
    from shls.export.verify_prompter import compare_prompters, is_prompter, open_prompters
    from shls.export.verify_refiner import compare_refiners, is_refiner, open_refiners

    from ..backends.base import open_session
    from ..backends.pretrained import ASSETS, EXACT

    if is_refiner(a):
        refiners = open_refiners(a, b, threads)
        return refiners, partial(compare_refiners, *refiners, open_session(embedding or ASSETS / EXACT, threads))
    if is_prompter(a):
        prompters = open_prompters(a, b, threads)
        return prompters, partial(compare_prompters, *prompters, open_session(embedding or ASSETS / EXACT, threads))
    if embedding:
        raise BadInput(f"--embedding: is for a refiner, and {a} is an embedding. Leave it out")
    sessions = open_either(a, b, threads)
    return sessions, partial(compare, *sessions)


def info(
    file: Annotated[Path | None, typer.Argument(help="ONNX model or engine.")] = None,
    adopt: Annotated[
        Path | None,
        typer.Option(help="Engine that trtexec built on this device: write its description, so that shls can load it."),
    ] = None,
    onnx: Annotated[Path | None, typer.Option(help="ONNX file that the engine was built from; for --adopt.")] = None,
    settings: Annotated[
        bool, typer.Option("--settings", help="List the model's settings with value, default and meaning.")
    ] = False,
) -> None:
    """Show the contract of a model, and the machine that an engine was built for."""
    import json

    from ..backends.base import contract_of, describe
    from ..models.contract import Contract

    if (adopt is None) != (onnx is None):
        raise BadInput("--adopt and --onnx: only one is given. Give the engine and the ONNX file it was built from")
    if (adopt is None) == (file is None):
        raise BadInput("info: expected one file, or --adopt ENGINE --onnx MODEL. Name an ONNX model or an engine")
    if adopt is not None and onnx is not None:
        from shls.export.adopt import adopt_engine

        adopt_engine(adopt, onnx)
        file = adopt
    assert file is not None
    if settings:
        contract = contract_of(file)
        if not isinstance(contract, Contract):
            raise BadInput(f"{file}: a {contract.role} has no settings. Give the embedding that it works with")
        for one in contract.settings.describe():
            typer.echo(f"{one.name:36} {one.value!s:>8} (default {one.default})  {one.meaning}")
        return
    typer.echo(json.dumps(describe(file), indent=2))


def _clip(on: str | None, mask: Path | None, count: int) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Return frames and first mask of a clip, by default the shipped clip."""
    from ..io.masks import read_mask

    if on is None:
        on, mask = shipped_clip(), mask or Path(shipped_clip()).with_name("bunny_mask.png")
    images = read_frames(on, count)
    return images, None if mask is None else read_mask(mask, images[0].shape[:2])
