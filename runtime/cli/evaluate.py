"""`shls eval`: the accuracy of a model on an annotated data set."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Model, Refined, Refiner, check_refiner


class ReadingName(str, Enum):  # Python 3.10 has no StrEnum
    """Names of the readings that can be asked for."""

    REVERSED = "reversed"
    EVERY2 = "every2"
    EVERY3 = "every3"
    MIRRORED = "mirrored"
    HALF = "half"
    JPEG40 = "jpeg40"


READINGS_HELP = """Evaluate a changed reading of the set in addition; may be repeated. reversed: from a late frame
backwards; every2, every3: every second or third frame; mirrored: left and right exchanged; half: half the width and
height; jpeg40: frames compressed as JPEG of quality 40."""


def evaluate(
    root: Annotated[
        Path,
        typer.Option(help="Data set: folder with JPEGImages and Annotations, as of DAVIS, YouTube-VOS, MOSE or LVOS."),
    ],
    set_file: Annotated[
        Path,
        typer.Option(
            "--set",
            help="Text file with one sequence name per line, or the name of a list in the data set's ImageSets.",
        ),
    ],
    reading: Annotated[list[ReadingName] | None, typer.Option(help=READINGS_HELP)] = None,
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
    """Measure J, F and J&F by the official DAVIS protocol, and how often objects are lost or drawn while absent."""
    from functools import partial

    from .._support.files import check_writable, write_json
    from ..backends.pretrained import SHIPPED_MODEL
    from ..evaluation.evaluate import evaluate as evaluate_set
    from ..evaluation.evaluate import result_key
    from ..evaluation.readings import FORWARD
    from ..evaluation.report import Report, Result, readings_table
    from ..segmenter import open_segmenter

    def report_progress(result: Result, done: int, total: int) -> None:
        typer.echo(f"{name}: {done}/{total} {result.name}", err=True)
        for note in result.notes:
            typer.echo(f"  {result.name}: {note}", err=True)

    check_refiner(refiner, refined)
    if json:
        check_writable(json)
    path = model or SHIPPED_MODEL
    threads = 1 if jobs > 1 else 0
    opened = partial(open_segmenter, path, threads=threads, device=device, refiner=refiner, refined=refined)
    key = result_key(path, refiner, refined=refined, device=device) if out else ""
    reports: dict[str, Report] = {}
    for name in dict.fromkeys([FORWARD, *(one.value for one in reading or [])]):
        report = evaluate_set(
            root, set_file, opened, reading=name, jobs=jobs, out=out, key=key, progress=report_progress
        )
        reports[name] = report
        typer.echo(f"reading: {name}\n{report.table()}\n")
    typer.echo(readings_table(reports))
    if json:
        others = {name: report.to_dict() for name, report in reports.items() if name != FORWARD}
        write_json(json, reports[FORWARD].to_dict() | {"readings": others})
