"""`shls pseudo`: from stills to object masks, without labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

SHOWN = 5  # messages of stills that cannot be read


def pseudo(
    data: Annotated[Path, typer.Argument(help="Folder of images or of .tar shards.")],
    out: Annotated[Path, typer.Option(help="Folder of the masks; an interrupted run in it is resumed.")],
) -> None:
    """Find the object in each still without labels: a grey PNG each, and index.csv with a confidence."""
    # The systems of a few hundred equations take longer on two threads than on one; numpy reads this when it loads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from shls.runtime.errors import BadInput
    from shls.runtime.stills import Stills
    from shls_train.pseudo_masks import PseudoMasks, Tally, write_masks
    from shls_train.saliency_fusion import find_object

    if out.resolve().is_relative_to(data.resolve()):
        raise BadInput(f"{out}: lies in the stills' folder, so masks would be taken for stills; choose another --out")
    stills = Stills(data)
    with typer.progressbar(length=len(stills), label="masks") as bar:

        def tell(at: Tally) -> None:
            bar.update(at.done - bar.pos)

        tally = write_masks(stills, out, lambda _, image: find_object(image), tell)
    masks = PseudoMasks(out)
    typer.echo(f"{out}: {len(masks)} stills, {len(masks.confident(0.5))} masks with a confidence of at least 0.5")
    if tally.unreadable:
        typer.echo(f"left out, {len(tally.unreadable)} in all:", err=True)
        for message in tally.unreadable[:SHOWN]:
            typer.echo(f"  {message}", err=True)
