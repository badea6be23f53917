"""`shls doctor`, `shls profile` and `shls bench`: what this machine can do, in figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ..errors import BadInput
from .options import Device, Model, Refined, Refiner, Threads, check_refiner

if TYPE_CHECKING:
    from ..diagnostics.profiler import Profile
    from ..io.base import Source
    from ..segmenter import VideoSegmenter


def doctor(json: Annotated[Path | None, typer.Option(help="Write the findings here.")] = None) -> None:
    """Look at what this machine has and lacks, with the fix for each lack; exit code 1 on a problem."""
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
        str | None, typer.Argument(help="What `shls run` takes; drawn, moving frames by default.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="Seconds of running; 600 shows what heat does.", min=0.1)
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Frames; a file begins again at its end.", min=2)] = None,
    json: Annotated[Path | None, typer.Option(help="Write all figures here.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with charts here, .html.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Show two --json files side by side; measure nothing.")
    ] = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="One stage after the other, so that they sum up.")
    ] = False,
    model: Model = None,
    refiner: Refiner = None,
    refined: Refined = True,
    threads: Threads = 0,
    device: Device = "auto",
) -> None:
    """Measure how long each stage of `shls run` takes, with temperature and power where the system tells."""
    from ..diagnostics import profile_text

    if compare:
        others = (source, duration, frames, json, report, sequential, model, refiner, not refined, threads)
        if any(others) or device != "auto":
            raise BadInput("--compare measures nothing; leave the other arguments out")
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
    path = model or shipped_model(device)
    segmenter = open_segmenter(path, threads, False if sequential else None, device, refiner, refined)
    found = _measure(source, limits, segmenter, threads, overlap=not sequential)
    if "CPU" in segmenter.session.backend:  # a GPU works on while its profiler's clock has stopped
        found["layers"] = layer_times(path, segmenter.session.contract, threads)
    if json:
        write_json(json, found)
    if report:
        write_report(found, report)
    typer.echo(profile_text.table(found))


SYNTHETIC_FRAMES = 150


class Limits(NamedTuple):
    """Where a profile ends; a source that is shorter begins again."""

    seconds: float | None
    frames: int | None


def _measure(uri: str | None, limits: Limits, segmenter: VideoSegmenter, threads: int, overlap: bool) -> Profile:
    """Profile with a progress bar."""
    from ..diagnostics.profiler import profile as profile_frames
    from ..io.playback import Playback, stopping
    from ..io.sources import open_source
    from ..io.synthetic import SyntheticSource

    def reopen() -> Source:
        return SyntheticSource(SYNTHETIC_FRAMES) if uri is None else open_source(uri)

    loop = limits != Limits(None, None)
    count = None if limits.frames is None else limits.frames + 1  # the marked frame is not measured
    with (
        Playback(reopen, loop=loop, duration=limits.seconds, limit=count) as source,
        stopping(source),
        typer.progressbar(length=source.count or 0, label="frames", show_pos=True, file=sys.stderr) as bar,
    ):
        return profile_frames(source, segmenter, threads, lambda count: bar.update(count - bar.pos), overlap=overlap)


def bench(
    models: Annotated[
        list[Path] | None, typer.Argument(help="Models, or folders of them; the shipped ones by default.")
    ] = None,
    frames: Annotated[int, typer.Option(help="Frames of the shipped clip.", min=2)] = 40,
    json: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
    threads: Threads = 0,
    device: Device = "auto",
) -> None:
    """Measure models, each with the refiner of its precision, and recommend one; exit code 1 if none runs."""
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
