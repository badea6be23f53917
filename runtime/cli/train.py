"""`shls train` and `shls train-refiner`: from stills to checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .options import StillsFolder, require

if TYPE_CHECKING:
    from shls_train.models.edge import Embedding

RunFolder = Annotated[Path, typer.Option(help="Training folder; an interrupted run in it is resumed.")]


def train(
    data: StillsFolder,
    out: RunFolder,
    masks: Annotated[
        Path | None, typer.Option(help="nt-xent: what `shls pseudo` made of the stills; without, blobs are cut out.")
    ] = None,
    network: Annotated[
        Literal["shls-edge", "shls-r18"], typer.Option(help="Ours, or the published one: slow, --loss nt-xent only.")
    ] = "shls-edge",
    loss: Annotated[
        Literal["dense", "nt-xent", "both"],
        typer.Option(help="Dense correspondence between views, the published loss between objects, or their sum."),
    ] = "dense",
    steps: Annotated[int, typer.Option(help="Optimiser steps of the whole run.", min=1)] = 4500,
    crop: Annotated[int, typer.Option(help="Side of a view or frame, pixels; a multiple of 16.", min=32)] = 192,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    temperature: Annotated[float, typer.Option(help="Of the losses.")] = 0.07,
    batch: Annotated[int, typer.Option(help="dense: pairs of views per step.", min=1)] = 12,
    points: Annotated[int, typer.Option(help="dense: corresponding points per pair.", min=1)] = 128,
    margin: Annotated[float, typer.Option(help="dense: pixels around the right partner not counted as wrong.")] = 10.0,
    clips: Annotated[int, typer.Option(help="nt-xent: synthetic clips per step.", min=1)] = 4,
    frames: Annotated[int, typer.Option(help="nt-xent: frames per clip.", min=1)] = 3,
    superpixels: Annotated[int, typer.Option(help="nt-xent: superpixels per frame.", min=2)] = 300,
    triplets: Annotated[int, typer.Option(help="nt-xent: triplets per superpixel.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Of weights and views.")] = 0,
) -> None:
    """Train the embedding network on unlabelled stills; under torchrun, in several processes."""
    require("torch", "train")
    from shls_train.config import TrainConfig
    from shls_train.stages.embedding import train as train_network

    config = TrainConfig(
        network=network,
        loss=loss,
        steps=steps,
        crop=crop,
        lr=lr,
        temperature=temperature,
        batch=batch,
        points=points,
        margin=margin,
        clips=clips,
        frames=frames,
        superpixels=superpixels,
        triplets=triplets,
        seed=seed,
    )
    _with_bar(steps, lambda tell: train_network(data, out, config, tell, masks))


def train_refiner(
    data: StillsFolder,
    embedding: Annotated[Path, typer.Option(help="Training folder or checkpoint of `shls train`, or fp32 ONNX file.")],
    out: RunFolder,
    masks: Annotated[Path | None, typer.Option(help="Folder of `shls pseudo`; without it blobs are cut out.")] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps of the whole run.", min=1)] = 3000,
    batch: Annotated[int, typer.Option(help="Frames per step.", min=1)] = 8,
    clips: Annotated[int, typer.Option(help="Clips rolled out for each round of 200 steps.", min=1)] = 60,
    frames: Annotated[int, typer.Option(help="Frames per clip.", min=2)] = 8,
    height: Annotated[int, typer.Option(help="Of a clip's frames, pixels; a multiple of 16.", min=64)] = 384,
    width: Annotated[int, typer.Option(help="Of a clip's frames, pixels; a multiple of 16.", min=64)] = 688,
    crop: Annotated[int, typer.Option(help="Side of an object's crop, pixels; a multiple of 16.", min=32)] = 224,
    superpixels: Annotated[int, typer.Option(help="Superpixels per frame.", min=2)] = 1000,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Of weights and clips.")] = 0,
) -> None:
    """Train the refiner on clips made of unlabelled stills, with the embedding as it is."""
    require("torch", "train")
    from shls_train.config import RefinerConfig
    from shls_train.pseudo_labels.masks import PseudoMasks
    from shls_train.stages.refiner import train_refiner as train_network

    config = RefinerConfig(
        steps=steps,
        batch=batch,
        clips=clips,
        frames=frames,
        height=height,
        width=width,
        crop=crop,
        superpixels=superpixels,
        lr=lr,
        seed=seed,
    )
    found = PseudoMasks(masks) if masks else None
    network = _embedding(embedding)
    _with_bar(steps, lambda tell: train_network(data, network, out, config, tell, found))


def _embedding(path: Path) -> Embedding:
    if path.suffix == ".onnx":
        require("onnx", "export")
        from shls.export.from_onnx import read_embedding

        return read_embedding(path)
    from shls_train.engine.checkpoint import load_network
    from shls_train.models.edge import Embedding

    return load_network(path, Embedding)


def _with_bar(steps: int, train: Callable[[Callable[[Any], None]], Path]) -> None:
    """Train with a progress bar that tells the losses of each `Progress`, and say where the result lies.

    Of several processes the first one does.
    """
    if os.environ.get("RANK", "0") != "0":
        train(lambda _: None)
        return
    with typer.progressbar(length=steps, label="training") as bar:
        validation = ""

        def tell(at: Any) -> None:
            nonlocal validation
            if at.validation:
                validation = "".join(f", {name} {value:.3f}" for name, value in at.validation.items())
            scalars = "".join(f", {name} {value:.3f}" for name, value in at.scalars.items())
            bar.label = f"loss {at.loss:.3f}{scalars}{validation}, {at.images_per_second:.1f} images/s"
            bar.update(at.step - bar.pos)

        last = train(tell)
    typer.echo(f"checkpoint {last}")
