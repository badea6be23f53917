"""`shls pseudo`: from stills to object masks, without labels."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from shls.runtime.commands_common import require

SHOWN = 5  # messages of stills that cannot be read
FUSED, NETWORK = "fused", "network"  # folders below that of the refined masks


def pseudo(
    data: Annotated[Path, typer.Argument(help="Folder of images or of .tar shards.")],
    out: Annotated[Path, typer.Option(help="Folder of the masks; an interrupted run in it is resumed.")],
    refine: Annotated[bool, typer.Option(help="Train a network on the fused masks and let it join the cues.")] = True,
    steps: Annotated[int, typer.Option(help="Optimiser steps of that network.", min=1)] = 1600,
    batch: Annotated[int, typer.Option(help="Stills per step.", min=2)] = 32,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Of weights and views.")] = 0,
) -> None:
    """Find the object in each still without labels: a grey PNG each, and index.csv with a confidence."""
    # The systems of a few hundred equations take longer on two threads than on one; numpy reads this when it loads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from shls.runtime.stills import Stills
    from shls_train.saliency_fusion import find_object

    _check_folders(data, out, refine)
    stills = Stills(data)
    _write(stills, out / FUSED if refine else out, "fused masks", find_object)
    if refine:
        require("torch", "train")
        from shls_train.loop import Progress
        from shls_train.pseudo_masks import PseudoMasks
        from shls_train.saliency_network import predict
        from shls_train.saliency_training import SaliencyConfig, self_train

        config = SaliencyConfig(steps=steps, lr=lr, seed=seed, batch=batch)
        with typer.progressbar(length=steps, label="training") as bar:

            def tell(at: Progress) -> None:
                bar.label = f"loss {at.loss:.3f}, change {at.scalars['change']:.3f}"
                bar.update(at.step - bar.pos)

            network = self_train(stills, PseudoMasks(out / FUSED), out / NETWORK, config, tell)
        _write(stills, out, "refined masks", lambda image: find_object(image, lambda small: predict(network, small)))


def _check_folders(data: Path, out: Path, refine: bool) -> None:
    from shls.runtime.errors import BadInput
    from shls_train.pseudo_masks import INDEX

    if out.resolve().is_relative_to(data.resolve()):
        raise BadInput(f"{out}: lies in the stills' folder, so masks would be taken for stills; choose another --out")
    refined = (out / FUSED).exists()
    if (out / INDEX).exists() and refined != refine:
        kind = "refined" if refined else "fused"
        raise BadInput(
            f"{out}: holds {kind} masks; choose another --out, or {'--refine' if refined else '--no-refine'}"
        )


def _write(stills: Any, folder: Path, label: str, find: Callable[[Any], Any]) -> None:
    """Write all masks of one kind (see `shls_train.pseudo_masks.write_masks`), and tell what came of it."""
    from shls_train.pseudo_masks import PseudoMasks, Tally, write_masks

    with typer.progressbar(length=len(stills), label=label) as bar:

        def tell(at: Tally) -> None:
            bar.update(at.done - bar.pos)

        tally = write_masks(stills, folder, find, tell)
    masks = PseudoMasks(folder)
    typer.echo(f"{folder}: {len(masks)} stills, {len(masks.confident(0.5))} masks with a confidence of at least 0.5")
    if tally.unreadable:
        typer.echo(f"left out, {len(tally.unreadable)} in all:", err=True)
        for message in tally.unreadable[:SHOWN]:
            typer.echo(f"  {message}", err=True)
