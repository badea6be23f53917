"""`shls doctor`, `shls profile` and `shls bench`: what this machine can do, in figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shls.runtime.commands_common import Model, Threads, write_json
from shls.runtime.errors import BadInput

if TYPE_CHECKING:
    from shls.runtime.profiling import Profile
    from shls.runtime.sources import Source


def doctor(json: Annotated[Path | None, typer.Option(help="Write the findings here.")] = None) -> None:
    """Look at what this machine has and lacks, with the fix for each lack; exit code 1 on a problem."""
    from shls.runtime.doctor import examine

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
    threads: Threads = 0,
) -> None:
    """Measure how long each stage of `shls run` takes, with temperature and power where the system tells."""
    from shls.runtime import profile_text

    if compare:
        if source or duration or frames or json or report or model:
            raise BadInput("--compare measures nothing; leave the other arguments out")
        typer.echo(profile_text.compare(*map(profile_text.read_profile, compare)))
        return
    from shls.runtime.report import check_report_path, write_report

    if report:
        check_report_path(report)
    if json:
        write_json(json, {})  # what cannot be written must fail before the work
    found = _measure(source, duration, frames, not sequential, model, threads)
    if json:
        write_json(json, found)
    if report:
        write_report(found, report)
    typer.echo(profile_text.table(found))


SYNTHETIC_FRAMES = 150


def _measure(
    uri: str | None,
    duration: float | None,
    frames: int | None,
    overlap: bool,
    model: Path | None,
    threads: int,
) -> Profile:
    """Profile with a progress bar, then the layers alone."""
    from shls.runtime.layer_times import layer_times
    from shls.runtime.playback import Playback, stopping
    from shls.runtime.profiling import profile as profile_frames
    from shls.runtime.segmenter import SHIPPED_MODEL, open_segmenter
    from shls.runtime.sources import open_source
    from shls.runtime.synthetic import SyntheticSource

    segmenter = open_segmenter(model, threads, overlap)
    limited = duration is not None or frames is not None

    def reopen() -> Source:
        return SyntheticSource(SYNTHETIC_FRAMES) if uri is None else open_source(uri)

    with (
        Playback(reopen, loop=limited, duration=duration, limit=frames and frames + 1) as source,
        stopping(source),
        typer.progressbar(length=source.count or 0, label="frames", show_pos=True, file=sys.stderr) as bar,
    ):
        found = profile_frames(
            source, segmenter, threads, lambda count: bar.update(count - bar.pos), overlap=overlap
        )
    return found | {"layers": layer_times(model or SHIPPED_MODEL, segmenter.session.contract, threads)}
