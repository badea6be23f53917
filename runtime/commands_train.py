"""`shls train`: from stills to a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shls.runtime.commands_common import require


def train(
    data: Annotated[Path, typer.Argument(help="Folder of images or of .tar shards.")],
    out: Annotated[Path, typer.Option(help="Training folder; an interrupted run in it is resumed.")],
    steps: Annotated[int, typer.Option(help="Optimiser steps of the whole run.", min=1)] = 4500,
    batch: Annotated[int, typer.Option(help="Pairs of views per step.", min=1)] = 12,
    points: Annotated[int, typer.Option(help="Corresponding points per pair.", min=1)] = 128,
    crop: Annotated[int, typer.Option(help="Side of a view, pixels; a multiple of 16.", min=32)] = 192,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    temperature: Annotated[float, typer.Option(help="Of the InfoNCE loss.")] = 0.07,
    margin: Annotated[float, typer.Option(help="Pixels around the right partner not counted as wrong.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Of weights and views.")] = 0,
) -> None:
    """Train the embedding network on unlabelled stills."""
    require("torch", "train")
    from shls_train.config import TrainConfig
    from shls_train.loop import Progress
    from shls_train.train import train as train_network

    config = TrainConfig(
        steps=steps, batch=batch, points=points, crop=crop, lr=lr, temperature=temperature, margin=margin, seed=seed
    )
    with typer.progressbar(length=steps, label="training") as bar:

        def tell(at: Progress) -> None:
            bar.label = f"loss {at.loss:.3f}, matching {at.scalars['accuracy']:.1%}"
            bar.update(at.step - bar.pos)

        last = train_network(data, out, config, tell)
    typer.echo(f"checkpoint {last}")
