"""`shls train`, `shls train-refiner` and `shls train-prompter`: train the networks on stills."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .options import StillsFolder, require

if TYPE_CHECKING:
    from shls_train.models.edge import Embedding

RunFolder = Annotated[
    Path, typer.Option(help="Training folder for checkpoints and logs. An interrupted run in the folder is resumed.")
]


def train(
    data: StillsFolder,
    out: RunFolder,
    masks: Annotated[
        Path | None,
        typer.Option(
            help="Only nt-xent and both: folder of `shls pseudo`. By default random blobs are cut out as objects."
        ),
    ] = None,
    network: Annotated[
        Literal["shls-edge", "shls-r18"],
        typer.Option(
            help="Network: shls-edge, or the published shls-r18, which is slow and takes --loss nt-xent only."
        ),
    ] = "shls-edge",
    loss: Annotated[
        Literal["dense", "nt-xent", "both"],
        typer.Option(
            help="Loss: dense correspondence between views, the published nt-xent between objects, or their sum."
        ),
    ] = "dense",
    steps: Annotated[int, typer.Option(help="Optimiser steps of the whole run.", min=1)] = 4500,
    crop: Annotated[int, typer.Option(help="Side of a view or frame in pixels, a multiple of 16.", min=32)] = 192,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    temperature: Annotated[float, typer.Option(help="Temperature of the losses' softmax.")] = 0.07,
    batch: Annotated[int, typer.Option(help="Only dense and both: pairs of views per step.", min=1)] = 12,
    points: Annotated[
        int, typer.Option(help="Only dense and both: corresponding points per pair of views.", min=1)
    ] = 128,
    margin: Annotated[
        float,
        typer.Option(
            help="Only dense and both: radius in pixels around the right point in which no point counts as wrong."
        ),
    ] = 10.0,
    clips: Annotated[int, typer.Option(help="Only nt-xent and both: synthetic clips per step.", min=1)] = 4,
    frames: Annotated[int, typer.Option(help="Only nt-xent and both: frames per clip.", min=1)] = 3,
    superpixels: Annotated[int, typer.Option(help="Only nt-xent and both: superpixels per frame.", min=2)] = 300,
    triplets: Annotated[int, typer.Option(help="Only nt-xent and both: triplets per superpixel.", min=1)] = 16,
    seed: Annotated[int, typer.Option(help="Random seed of weights and views.")] = 0,
) -> None:
    """Train the embedding network on unlabelled stills. torchrun starts it in several processes."""
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
    embedding: Annotated[
        Path, typer.Option(help="Embedding network: training folder or checkpoint of `shls train`, or fp32 ONNX file.")
    ],
    out: RunFolder,
    masks: Annotated[
        Path | None, typer.Option(help="Folder of `shls pseudo`. By default random blobs are cut out as objects.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps of the whole run.", min=1)] = 3000,
    batch: Annotated[int, typer.Option(help="Frames per optimiser step.", min=1)] = 8,
    clips: Annotated[int, typer.Option(help="Synthetic clips for each round of 200 steps.", min=1)] = 60,
    frames: Annotated[int, typer.Option(help="Frames per clip.", min=2)] = 8,
    height: Annotated[int, typer.Option(help="Height of a clip's frames in pixels, a multiple of 16.", min=64)] = 384,
    width: Annotated[int, typer.Option(help="Width of a clip's frames in pixels, a multiple of 16.", min=64)] = 688,
    crop: Annotated[int, typer.Option(help="Side of an object's crop in pixels, a multiple of 16.", min=32)] = 224,
    superpixels: Annotated[int, typer.Option(help="Superpixels per frame.", min=2)] = 1000,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Random seed of weights and clips.")] = 0,
) -> None:
    """Train the refiner network on clips made of unlabelled stills. The embedding stays unchanged."""
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


def train_prompter(
    data: StillsFolder,
    out: RunFolder,
    embedding: Annotated[
        Path | None,
        typer.Option(
            help="Embedding network: training folder or checkpoint of `shls train`, or fp32 ONNX file. By default the "
            "shipped one."
        ),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder of `shls pseudo`. By default random blobs are cut out as objects.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps of the whole run.", min=1)] = 12000,
    batch: Annotated[int, typer.Option(help="Prompts per optimiser step.", min=1)] = 12,
    height: Annotated[int, typer.Option(help="Height of a pasted scene in pixels, a multiple of 16.", min=64)] = 288,
    width: Annotated[int, typer.Option(help="Width of a pasted scene in pixels, a multiple of 16.", min=64)] = 512,
    crop: Annotated[int, typer.Option(help="Side of a crop in pixels, a multiple of 32.", min=32)] = 160,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Random seed of weights, frames and prompts.")] = 0,
) -> None:
    """Train the prompter network, which finds what boxes and points mark, on stills. The embedding stays unchanged."""
    require("torch", "train")
    from shls_train.config import PrompterConfig
    from shls_train.pseudo_labels.masks import PseudoMasks
    from shls_train.stages.prompter import train_prompter as train_network

    config = PrompterConfig(steps=steps, batch=batch, height=height, width=width, crop=crop, lr=lr, seed=seed)
    found = PseudoMasks(masks) if masks else None
    network = _embedding(embedding or _shipped())
    _with_bar(steps, lambda tell: train_network(data, network, out, config, tell, found))


def _shipped() -> Path:
    from ..backends.pretrained import SHIPPED_MODEL

    return SHIPPED_MODEL


def _embedding(path: Path) -> Embedding:
    if path.suffix == ".onnx":
        require("onnx", "export")
        from shls.export.from_onnx import read_embedding

        return read_embedding(path)
    from shls_train.engine.checkpoint import load_network
    from shls_train.models.edge import Embedding

    return load_network(path, Embedding)


def _with_bar(steps: int, train: Callable[[Callable[[Any], None]], Path]) -> None:
    """Train with a progress bar of the losses, and print the path of the checkpoint.

    Of several processes, only the first one prints.
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
