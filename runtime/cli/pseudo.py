"""`shls pseudo`: from stills to object masks, without labels."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import StillsFolder, require

SHOWN = 5  # messages of stills that cannot be read
FUSED, NETWORK = "fused", "network"  # folders below that of the refined masks
EMBEDDING = "embedding"  # file that holds the digest of the embedding, if there was one


def pseudo(
    data: StillsFolder,
    out: Annotated[Path, typer.Option(help="Folder of the masks; an interrupted run in it is resumed.")],
    embedding: Annotated[
        Path | None, typer.Option(help="ONNX model of `shls train`, which needs no masks: what is alike to it, too.")
    ] = None,
    refine: Annotated[bool, typer.Option(help="Train a network on the fused masks and let it join the cues.")] = True,
    steps: Annotated[int, typer.Option(help="Optimiser steps of that network.", min=1)] = 1600,
    batch: Annotated[int, typer.Option(help="Stills per step.", min=2)] = 32,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Of weights and views.")] = 0,
) -> None:
    """Find the object in each still without labels: a grey PNG each, and index.csv with a confidence."""
    # The systems of a few hundred equations take longer on two threads than on one; numpy reads this when it loads.
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


def _check_folders(data: Path, out: Path, refine: bool, embedding: str) -> None:
    """Raise BadInput if masks of other ways would be mixed; note the embedding's digest, empty for none."""
    from shls_train.pseudo_labels.masks import INDEX

    from .._support.files import write_whole
    from ..errors import BadInput

    if out.resolve().is_relative_to(data.resolve()):
        raise BadInput(f"{out}: lies in the stills' folder, so masks would be taken for stills; choose another --out")
    refined = (out / FUSED).exists()
    if (out / INDEX).exists() and refined != refine:
        kind = "refined" if refined else "fused"
        raise BadInput(
            f"{out}: holds {kind} masks; choose another --out, or {'--refine' if refined else '--no-refine'}"
        )
    made, note = (out / INDEX).exists() or refined, out / EMBEDDING
    noted = note.read_text() if note.exists() else ""
    if made and noted != embedding:
        theirs, ours = (f"the embedding {sha[:12]}" if sha else "no embedding" for sha in (noted, embedding))
        raise BadInput(f"{out}: holds masks made with {theirs}, not with {ours}; choose another --out")
    if embedding:
        write_whole(note, embedding.encode())


def _write(stills: Any, folder: Path, label: str, find: Callable[[Any], Any]) -> None:
    """Write all masks of one kind (see `shls_train.pseudo_labels.masks.write_masks`), and tell what came of it."""
    from shls_train.pseudo_labels.masks import PseudoMasks, Tally, write_masks

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
