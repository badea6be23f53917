"""`shls pseudo`: find object masks in stills without labels."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import StillsFolder, require

FUSED, NETWORK = "fused", "network"
"""Folders below the folder of the refined masks."""
EMBEDDING = "embedding"
"""File with the digest of the embedding, if one was used."""


def pseudo(
    data: StillsFolder,
    out: Annotated[Path, typer.Option(help="Folder for the masks. An interrupted run in the folder is resumed.")],
    embedding: Annotated[
        Path | None,
        typer.Option(help="Embedding network of `shls train`, ONNX file, as a further cue. By default it is not used."),
    ] = None,
    refine: Annotated[
        bool, typer.Option(help="Train a saliency network on the fused masks, and fuse again with its output.")
    ] = True,
    steps: Annotated[int, typer.Option(help="Optimiser steps of the saliency network.", min=1)] = 1600,
    batch: Annotated[int, typer.Option(help="Stills per optimiser step.", min=2)] = 32,
    lr: Annotated[float, typer.Option(help="Peak learning rate of the saliency network.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Random seed of the saliency network's weights and views.")] = 0,
) -> None:
    """Find the object in each still without labels. Writes a grey PNG per still, and index.csv with confidences."""
    # Systems of a few hundred equations are slower on two threads than on one. numpy reads this when it loads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from shls_train.pseudo_labels.fusion import describer, find_object

    from ..backends.base import open_session
    from ..io.image_collection import Stills

    session = open_session(embedding) if embedding else None
    _check_folders(data, out, refine, session.contract.checkpoint_sha256 if session else "")
    describe = describer(session) if session else None
    stills = Stills(data)
    _write(stills, out / FUSED if refine else out, "fused masks", partial(find_object, describe=describe))
    if refine:
        require("torch", "train")
        from shls_train.engine.run_log import Progress
        from shls_train.models.saliency_net import predict
        from shls_train.pseudo_labels.masks import PseudoMasks
        from shls_train.pseudo_labels.training import SaliencyConfig, self_train

        config = SaliencyConfig(steps=steps, lr=lr, seed=seed, batch=batch)
        with typer.progressbar(length=steps, label="training") as bar:

            def tell(at: Progress) -> None:
                bar.label = f"loss {at.loss:.3f}, change {at.scalars['change']:.3f}"
                bar.update(at.step - bar.pos)

            network = self_train(stills, PseudoMasks(out / FUSED), out / NETWORK, config, tell)
        learned = partial(predict, network)
        _write(stills, out, "refined masks", partial(find_object, learned=learned, describe=describe))
    stills.left_out.log_total()


def _check_folders(data: Path, out: Path, refine: bool, embedding: str) -> None:
    """Raise BadInput if masks of different kinds would be mixed; store the embedding's digest, empty for none."""
    from shls_train.pseudo_labels.masks import INDEX

    from .._support.files import write_whole
    from ..errors import BadInput

    if out.resolve().is_relative_to(data.resolve()):
        raise BadInput(
            f"{out}: is inside the folder of the stills, so masks would be read as stills. Choose another --out."
        )
    refined = (out / FUSED).exists()
    if (out / INDEX).exists() and refined != refine:
        kind = "refined" if refined else "fused"
        raise BadInput(
            f"{out}: holds {kind} masks (expected {'refined' if refine else 'fused'} ones). "
            f"Choose another --out, or give {'--refine' if refined else '--no-refine'}."
        )
    made, note = (out / INDEX).exists() or refined, out / EMBEDDING
    noted = note.read_text() if note.exists() else ""
    if made and noted != embedding:
        theirs, ours = (f"the embedding {sha[:12]}" if sha else "no embedding" for sha in (noted, embedding))
        raise BadInput(
            f"{out}: holds masks of another embedding (got {theirs}, expected {ours}). Choose another --out."
        )
    if embedding:
        write_whole(note, embedding.encode())


def _write(stills: Any, folder: Path, label: str, find: Callable[[Any], Any]) -> None:
    """Write all masks of one kind with `shls_train.pseudo_labels.masks.write_masks`, and print a summary."""
    from shls_train.pseudo_labels.masks import PseudoMasks, Tally, write_masks

    with typer.progressbar(length=len(stills), label=label) as bar:

        def tell(at: Tally) -> None:
            bar.update(at.done - bar.pos)

        write_masks(stills, folder, find, tell)
    masks = PseudoMasks(folder)
    typer.echo(f"{folder}: {len(masks)} stills, {len(masks.confident(0.5))} masks with a confidence of at least 0.5")
