"""`shls eval`: the accuracy of a model on an annotated data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Model, Refined, Refiner, check_refiner


def evaluate(
    root: Annotated[Path, typer.Option(help="Folder in the layout of DAVIS: JPEGImages and Annotations.")],
    set_file: Annotated[Path, typer.Option("--set", help="Text file with one sequence name per line.")],
    json: Annotated[Path | None, typer.Option(help="JSON file for the scores.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for predictions and scores. A second run resumes from the folder.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Number of sequences that run in parallel.", min=1)] = 1,
    model: Model = None,
    refiner: Refiner = None,
    refined: Refined = True,
    device: Device = "auto",
) -> None:
    """Measure J, F and J&F by the official DAVIS protocol."""
    from functools import partial

    from .._support.files import check_writable, write_json
    from ..backends.pretrained import SHIPPED_MODEL
    from ..evaluation.evaluate import Result, result_key
    from ..evaluation.evaluate import evaluate as evaluate_set
    from ..segmenter import open_segmenter

    def report_progress(result: Result, done: int, total: int) -> None:
        typer.echo(f"{done}/{total} {result.name}", err=True)

    check_refiner(refiner, refined)
    if json:
        check_writable(json)
    path = model or SHIPPED_MODEL
    threads = 1 if jobs > 1 else 0
    opened = partial(open_segmenter, path, threads=threads, device=device, refiner=refiner, refined=refined)
    key = result_key(path, refiner=refiner, refined=refined) if path.exists() else ""
    report = evaluate_set(root, set_file, opened, jobs=jobs, out=out, key=key, progress=report_progress)
    typer.echo(report.table())
    if json:
        write_json(json, report.to_dict())
