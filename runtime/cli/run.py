"""`shls run` and `shls demo`: follow objects through a source."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadInput
from .engines import build_engines
from .options import Device, Model, Prompter, Refined, Refiner, Threads, check_refiner
from .run_options import (
    OUTPUT_PANEL,
    Boxes,
    Duration,
    Every,
    Exports,
    FirstMask,
    Json,
    Loop,
    Marks,
    MaxAge,
    Objects,
    Play,
    Points,
    Prompts,
    SourceName,
    Start,
    parse_marks,
)
from .warm import compile_with_bar

if TYPE_CHECKING:
    import numpy as np

    from ..io.base import Source
    from ..io.playback import Playback
    from ..io.sinks import Outputs
    from ..pipeline import Summary
    from ..prompts.timeline import Prompter as Timeline
    from ..segmenter import VideoSegmenter

log = logging.getLogger("shls")


def run(
    source: SourceName,
    mask: FirstMask = None,
    box: Boxes = None,
    point: Points = None,
    objects: Objects = None,
    start: Start = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Frames with their objects coloured: a video ending in .mp4, .mov, .mkv, .webm or .gif, "
            "or a folder for one JPEG per frame.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    sound: Annotated[
        bool,
        typer.Option(
            "--sound", help="Copy the sound of the source into the video of --out.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = False,
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder for masks: one palette PNG of object ids per frame.", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    mask_video: Annotated[
        Path | None,
        typer.Option(
            help="Lossless video of the masks, .mkv (FFV1): grey values are object ids.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = None,
    cutout: Annotated[
        Path | None,
        typer.Option(
            help="Folder for cut-outs: one PNG per frame, transparent outside the objects.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    json: Json = None,
    export: Exports = None,
    prompts: Prompts = None,
    every: Every = 1,
    loop: Loop = False,
    duration: Duration = None,
    max_age: MaxAge = None,
    model: Model = None,
    refiner: Refiner = None,
    refined: Refined = True,
    prompter: Prompter = None,
    threads: Threads = 0,
    device: Device = "auto",
    build: Annotated[
        bool,
        typer.Option(
            "--build",
            help="Build TensorRT engines of both networks for this GPU, once; later runs find them.",
        ),
    ] = False,
) -> None:
    """Follow marked objects through a video or a live source. Ctrl-C ends the run and completes all files."""
    from ..formats.sink import parse_exports
    from ..io.sinks import Outputs
    from ..segmenter import open_segmenter

    marks = parse_marks(mask, box, point, objects)
    check_refiner(refiner, refined)
    exports = parse_exports(export or ())
    outputs = Outputs(out, masks, json, cutout, mask_video, sound)
    if sound and loop:
        raise BadInput("--sound together with --loop: the sound has one round only. Leave one of them out.")
    if not outputs.names and not exports:
        log.warning("no output is given, so nothing will be written. Give --out, --masks, --cutout or --json.")
    opener = partial(open_segmenter, model, threads, device=device, refiner=refiner, refined=refined, prompter=prompter)

    def opened(size: tuple[int, int]) -> VideoSegmenter:
        if build:
            build_engines(model, refiner, refined, size, device)
        return opener(size=size)

    _follow(opened, source, Play(start, every, loop, duration, max_age), marks, outputs, prompts, exports=exports)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the overlay video, masks and JSON lines.")] = Path(
        "demo-output"
    ),
) -> None:
    """Follow the rabbit of the shipped clip with the shipped model, and print the time of each stage."""
    from ..backends.pretrained import ASSETS
    from ..io.sinks import Outputs
    from ..segmenter import open_segmenter

    outputs = Outputs(out / "overlay.mp4", out / "masks", out / "objects.jsonl")
    segmenter = _follow(open_segmenter, str(ASSETS / "bunny.mp4"), Play(), Marks(ASSETS / "bunny_mask.png"), outputs)
    for stage, milliseconds in segmenter.stopwatch.medians().items():
        typer.echo(f"  {stage:<12} {milliseconds:7.2f} ms  (median)")


def _follow(
    opener: Callable[..., VideoSegmenter],
    source: str,
    play: Play,
    marks: Marks,
    outputs: Outputs,
    prompts: Path | None = None,
    exports: Sequence[tuple[str, Path]] = (),
) -> VideoSegmenter:
    """Follow the objects with a progress bar, and report at the end; `opener` takes the `size` of the frames."""
    from contextlib import ExitStack

    from ..formats.sink import ExportSink
    from ..io.objects import ObjectTable
    from ..io.playback import stopping
    from ..io.sinks import SinkGroup, open_sinks
    from ..io.synthetic import noise
    from ..pipeline import follow, warm_up
    from ..prompts.first_frame import first_mask
    from ..prompts.timeline import Prompter as Timeline
    from ..prompts.timeline import read_prompts

    marked, table = False, ObjectTable()

    def mark(image: np.ndarray) -> np.ndarray:
        nonlocal marked
        marked = True
        return table.add(first_mask(image, given, marks.prompts, solve=segmenter.solve))

    with _open(source, play) as frames:
        segmenter = opener(size=frames.size)
        _report_networks(segmenter)
        given = marks.check(frames.size, play.start)
        entries = read_prompts(prompts, play.start, frames.size) if prompts else []
        later = Timeline(entries, segmenter, table, segmenter.solve)
        protect = [*marks.files, *([prompts] if prompts else []), *later.files]
        with ExitStack() as opened, open_sinks(outputs, source, frames.info, protect, table) as sink:
            converted = [opened.enter_context(ExportSink(to, at, frames.name, table)) for to, at in exports]
            # Nothing is written yet: here Ctrl-C ends the command at once.
            compile_with_bar()
            typer.echo(f"warm-up {warm_up(segmenter, noise(frames.size)):.1f} s", err=True)
            with (
                stopping(frames) as signals,
                typer.progressbar(length=frames.count or 0, label="frames", show_pos=True, file=sys.stderr) as bar,
            ):
                try:
                    done = follow(
                        frames,
                        segmenter,
                        mark,
                        SinkGroup([sink, *converted]),
                        lambda count: bar.update(count - bar.pos),
                        max_age=play.max_age,
                        revise=later,
                    )
                except BadInput:
                    if signals and not marked:  # the source was stopped before its first frame
                        raise typer.Exit(128 + signals[0]) from None
                    raise
    _report(done, frames, segmenter, outputs, later)
    for _, folder in exports:
        typer.echo(f"  {folder}", err=outputs.to_stdout)
    if signals and not frames.live:  # a live run has no other end
        raise typer.Exit(128 + signals[0])
    return segmenter


def _open(source: str, play: Play) -> Playback:
    from ..io.playback import Playback
    from ..io.sources import open_source
    from ..io.uris import redact

    first = iter([play.start])  # later rounds play the whole source
    frames = Playback(lambda: open_source(source, next(first, 0)), play.every, play.loop, play.duration)
    problem = ""
    if frames.live and play.loop:
        problem = "is live and has no end to start again at. Leave --loop out."
    elif not frames.live and play.max_age is not None:
        problem = "is recorded, so its frames have no age. Leave --max-age out."
    if problem:
        frames.close()
        raise BadInput(f"{redact(source)}: {problem}")
    return frames


def _report_networks(segmenter: VideoSegmenter) -> None:
    contract = segmenter.session.contract
    typer.echo(f"network: {contract.network}, {contract.precision}, on {segmenter.session.backend}", err=True)
    if segmenter.refiner:
        refiner = segmenter.refiner.contract
        typer.echo(f"refiner: {refiner.network}, {refiner.precision}, on {segmenter.refiner.backend}", err=True)


def _report(done: Summary, frames: Source, segmenter: VideoSegmenter, outputs: Outputs, later: Timeline) -> None:
    """Print what was done; to standard error where standard output has JSON lines."""
    import numpy as np

    def say(line: str) -> None:
        typer.echo(line, err=outputs.to_stdout)

    say(f"{done.frames} frames, {done.fps:.1f} frames per second")
    if unused := later.unused():
        typer.echo(unused, err=True)
    if done.damaged:
        say(f"damaged frames in the video: {done.damaged}; their masks may be wrong")
    for name in outputs.names:
        say(f"  {name}")
    if frames.live:
        median, most = 1000 * np.percentile(segmenter.stopwatch.seconds["age"], [50, 95])
        say(
            f"{done.dropped} frames dropped for newer frames, {done.late} results too late, "
            f"breaks: {frames.breaks}; capture to result {median:.0f} ms, 95 % within {most:.0f} ms"
        )
