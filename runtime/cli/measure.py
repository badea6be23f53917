"""`shls doctor`, `shls profile` and `shls bench`: checks and measurements of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ..errors import BadInput
from .options import Device, Model, Refined, Refiner, Threads, check_refiner

if TYPE_CHECKING:
    from ..diagnostics.profile_figures import Profile
    from ..io.base import Source
    from ..segmenter import VideoSegmenter


def doctor(json: Annotated[Path | None, typer.Option(help="File for the findings, JSON.")] = None) -> None:
    """Check packages, GPU, memory and cameras, with a fix for each problem. Exit code 1 on a problem."""
    from .._support.files import check_writable, write_json
    from ..diagnostics.doctor import examine

    if json:
        check_writable(json)
    findings = examine()
    for finding in findings:
        fix = f" -> {finding.fix}" if finding.fix else ""
        typer.echo(f"{finding.status:<8} {finding.name:<14} {finding.text}{fix}")
    if json:
        write_json(json, [finding._asdict() for finding in findings])
    if any(finding.status == "problem" for finding in findings):
        raise typer.Exit(1)


def profile(
    source: Annotated[
        str | None,
        typer.Argument(help="Video source as for `shls run`. By default synthetic moving frames of 854x480."),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            help="Duration of the measurement in seconds; a file starts again at its end. 600 shows what heat does.",
            min=0.1,
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            help="Number of frames to measure; a file starts again at its end. By default all frames of the source.",
            min=2,
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="File for all figures, JSON.")] = None,
    report: Annotated[Path | None, typer.Option(help="File for a web page with charts, .html.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Two files of --json to show side by side; nothing is measured.")
    ] = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Run the stages in sequence, so that their times sum up to a frame.")
    ] = False,
    model: Model = None,
    refiner: Refiner = None,
    refined: Refined = True,
    threads: Threads = 0,
    device: Device = "auto",
) -> None:
    """Measure the time of each stage of `shls run`, and temperature and power where the system reports them."""
    from ..diagnostics import profile_text

    if compare:
        others = (source, duration, frames, json, report, sequential, model, refiner, not refined, threads)
        if any(others) or device != "auto":
            raise BadInput("--compare: measures nothing (got further arguments, expected none). Leave them out.")
        typer.echo(profile_text.compare(*map(profile_text.read_profile, compare)))
        return
    from .._support.files import check_writable, write_json
    from ..backends.pretrained import shipped_model
    from ..diagnostics.layer_times import layer_times
    from ..diagnostics.profile_html import check_report_path, write_report
    from ..segmenter import open_segmenter

    check_refiner(refiner, refined)
    if report:
        check_report_path(report)
    if json:
        check_writable(json)
    limits = Limits(duration, frames)
    segmenter = open_segmenter(model, threads, False if sequential else None, device, refiner, refined)
    found = _measure(source, limits, segmenter, threads, overlap=not sequential)
    if "CPU" in segmenter.session.backend:  # on a GPU, the profiler's clock stops before the work ends
        found["layers"] = layer_times(model or shipped_model(device), segmenter.session.contract, threads)
    if json:
        write_json(json, found)
    if report:
        write_report(found, report)
    typer.echo(profile_text.table(found))


SYNTHETIC_FRAMES = 150
"""Number of frames of the default source."""


class Limits(NamedTuple):
    """Limits of a profile; a shorter source starts again at its end.

    Attributes
    ----------
    seconds : duration of the measurement, None for no limit
    frames : number of measured frames, None for no limit

    Examples
    --------
    >>> Limits(seconds=None, frames=100).frames
    100
    """

    seconds: float | None
    frames: int | None


def _measure(uri: str | None, limits: Limits, segmenter: VideoSegmenter, threads: int, overlap: bool) -> Profile:
    """Profile with a progress bar; Ctrl-C ends the measurement early, and in the warm-up the command."""
    from ..diagnostics.profiler import profile as profile_frames
    from ..io.playback import Playback, stopping
    from ..io.sources import open_source
    from ..io.synthetic import SyntheticSource

    def reopen() -> Source:
        return SyntheticSource(SYNTHETIC_FRAMES) if uri is None else open_source(uri)

    loop = limits != Limits(None, None)
    count = None if limits.frames is None else limits.frames + 1  # the first frame is not measured
    with (
        Playback(reopen, loop=loop, duration=limits.seconds, limit=count) as source,
        typer.progressbar(length=source.count or 0, label="frames", show_pos=True, file=sys.stderr) as bar,
    ):
        return profile_frames(
            source,
            segmenter,
            threads,
            lambda count: bar.update(count - bar.pos),
            overlap=overlap,
            running=stopping(source),
        )


def bench(
    models: Annotated[
        list[Path] | None,
        typer.Argument(help="Models, or folders of models, ONNX or engines. By default the shipped models."),
    ] = None,
    frames: Annotated[int, typer.Option(help="Number of frames of the shipped clip to measure.", min=2)] = 40,
    json: Annotated[Path | None, typer.Option(help="File for the table, JSON.")] = None,
    threads: Threads = 0,
    device: Device = "auto",
) -> None:
    """Measure models, each with the refiner of its precision, and recommend one. Exit code 1 if no model runs."""
    from dataclasses import asdict

    from .._support.files import check_writable, write_json
    from ..diagnostics import model_bench as benches

    if json:
        check_writable(json)
    found = benches.pair_up(benches.find_models(models or []))
    rows = benches.bench(found, frames, threads, device, lambda model: typer.echo(f"measuring {model}", err=True))
    words = benches.recommend(rows)
    typer.echo(benches.table(rows))
    typer.echo(words)
    if json:
        write_json(json, {"models": [asdict(row) for row in rows], "recommendation": words})
    if not any(row.runs for row in rows):
        raise typer.Exit(1)
