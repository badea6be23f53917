"""`shls run`, `shls demo` and `shls eval`: with a model on the device."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadInput
from .options import Device, Model, Refined, Refiner, Threads, check_refiner

if TYPE_CHECKING:
    from ..io.base import Sink, Source
    from ..io.playback import Playback
    from ..pipeline import Summary
    from ..segmenter import VideoSegmenter


Prompt = tuple[Path | None, list[tuple[int, int, int, int]], list[tuple[int, int]]]
"""What marks the first frame: a mask's file, or boxes x, y, width, height, and points x, y."""


@dataclass(frozen=True)
class Play:
    """How a source is played; the fields are options of `shls run`."""

    start: int = 0
    every: int = 1
    loop: bool = False
    duration: float | None = None
    max_age: float | None = None


Where = Annotated[
    str,
    typer.Argument(
        help="Video file, folder of images, image_%05d.jpg or 'glob*.png'; or live: 0, /dev/video0, "
        "csi://0, rtsp://user:password@host/path, http://host/path (MJPEG). Cameras take options after a question "
        "mark, '0?width=1280&height=720&fps=30&codec=mjpg&flip=180', streams after a number sign, "
        "'rtsp://host/path#width=640&height=360&fps=10&flip=180&transport=udp'."
    ),
]
FirstMask = Annotated[Path | None, typer.Option(help="First mask: palette, binary PNG, or a folder of them.")]
Boxes = Annotated[list[str] | None, typer.Option(help="Box x,y,w,h around an object; may be repeated.")]
Points = Annotated[list[str] | None, typer.Option(help="Point x,y on an object; may be repeated.")]
Start = Annotated[int, typer.Option(help="Frame in which the objects are marked.", min=0)]
Lines = Annotated[Path | None, typer.Option(help="JSON lines: per frame the objects and their masks.")]
Prompts = Annotated[Path | None, typer.Option(help="JSON: objects to mark or remove in later frames, by number.")]
Every = Annotated[int, typer.Option(help="Take only each n-th frame.", min=1)]
Loop = Annotated[bool, typer.Option("--loop", help="Begin a file again at its end, until stopped.")]
Duration = Annotated[float | None, typer.Option(help="Seconds of running.", min=0.1)]
MaxAge = Annotated[float | None, typer.Option(help="Live: drop results older than this, seconds.", min=0.0)]


def run(
    source: Where,
    mask: FirstMask = None,
    box: Boxes = None,
    point: Points = None,
    start: Start = 0,
    out: Annotated[Path | None, typer.Option(help="Overlay video to write, .mp4.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder for one palette PNG per frame.")] = None,
    json: Lines = None,
    prompts: Prompts = None,
    every: Every = 1,
    loop: Loop = False,
    duration: Duration = None,
    max_age: MaxAge = None,
    model: Model = None,
    refiner: Refiner = None,
    refined: Refined = True,
    threads: Threads = 0,
    device: Device = "auto",
) -> None:
    """Follow the marked objects through a video or a camera's picture; Ctrl-C finishes all files."""
    prompt = _parse(mask, box, point)
    check_refiner(refiner, refined)
    from ..segmenter import open_segmenter

    segmenter = open_segmenter(model, threads, device=device, refiner=refiner, refined=refined)
    _follow(segmenter, source, Play(start, every, loop, duration, max_age), prompt, (out, masks, json), prompts)


def serve(
    source: Where,
    mask: FirstMask = None,
    box: Boxes = None,
    point: Points = None,
    port: Annotated[int, typer.Option(help="Of the page; 0 takes any that is free.", min=0, max=65535)] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen at. There is no password: others than this machine see all.")
    ] = "127.0.0.1",
    start: Start = 0,
    json: Lines = None,
    prompts: Prompts = None,
    every: Every = 1,
    loop: Loop = False,
    duration: Duration = None,
    max_age: MaxAge = None,
    model: Model = None,
    refiner: Refiner = None,
    refined: Refined = True,
    threads: Threads = 0,
    device: Device = "auto",
) -> None:
    """Follow the marked objects, and show them live on a page: / the page, /video MJPEG, /objects JSON."""
    prompt = _parse(mask, box, point)
    check_refiner(refiner, refined)
    from ..io.http_sink import WebSink
    from ..segmenter import open_segmenter

    segmenter = open_segmenter(model, threads, device=device, refiner=refiner, refined=refined)
    play = Play(start, every, loop, duration, max_age)
    page = WebSink(port, host)
    with page:
        typer.echo(f"page: {page.address}", err=True)
        _follow(segmenter, source, play, prompt, (None, None, json), prompts, page)


def demo(out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-output")) -> None:
    """Follow the rabbit of the shipped clip with the shipped model."""
    from ..segmenter import SHIPPED_MODEL, open_segmenter

    assets = SHIPPED_MODEL.parent
    segmenter = open_segmenter()
    results = (out / "overlay.mp4", out / "masks", out / "objects.jsonl")
    _follow(segmenter, str(assets / "bunny.mp4"), Play(), (assets / "bunny_mask.png", [], []), results)
    for stage, milliseconds in segmenter.stopwatch.medians().items():
        typer.echo(f"  {stage:<12} {milliseconds:7.2f} ms  (median)")


def evaluate(
    root: Annotated[Path, typer.Option(help="Folder in the layout of DAVIS.")],
    set_file: Annotated[Path, typer.Option("--set", help="Text file that lists the sequences.")],
    json: Annotated[Path | None, typer.Option(help="Write the scores here.")] = None,
    out: Annotated[Path | None, typer.Option(help="Keep predictions and scores here; a rerun resumes.")] = None,
    jobs: Annotated[int, typer.Option(help="Sequences at a time.", min=1)] = 1,
    model: Model = None,
    refiner: Refiner = None,
    refined: Refined = True,
    device: Device = "auto",
) -> None:
    """Measure J, F and J&F by the official DAVIS protocol."""
    from functools import partial

    from .._support.files import check_writable, write_json
    from ..evaluation.evaluate import Result, result_key
    from ..evaluation.evaluate import evaluate as evaluate_set
    from ..segmenter import SHIPPED_MODEL, open_segmenter

    def tell(result: Result, done: int, total: int) -> None:
        typer.echo(f"{done}/{total} {result.name}", err=True)

    check_refiner(refiner, refined)
    if json:
        check_writable(json)
    path = model or SHIPPED_MODEL
    threads = 1 if jobs > 1 else 0
    opened = partial(open_segmenter, path, threads=threads, device=device, refiner=refiner, refined=refined)
    key = result_key(path, refiner=refiner, refined=refined) if path.exists() else ""
    report = evaluate_set(root, set_file, opened, jobs=jobs, out=out, key=key, progress=tell)
    typer.echo(report.table())
    if json:
        write_json(json, report.to_dict())


def _follow(
    segmenter: VideoSegmenter,
    source: str,
    play: Play,
    prompt: Prompt,
    results: tuple[Path | None, Path | None, Path | None],
    prompts: Path | None = None,
    page: Sink | None = None,
) -> None:
    """Run with a progress bar, and say what came of it."""
    from ..io.playback import stopping
    from ..io.sinks import SinkGroup, open_sinks
    from ..io.synthetic import noise
    from ..pipeline import follow, warm_up
    from ..prompts.first_frame import first_mask
    from ..prompts.timeline import Prompter, read_prompts

    contract = segmenter.session.contract
    typer.echo(f"network: {contract.network}, {contract.precision}, on {segmenter.session.backend}", err=True)
    if segmenter.refiner:
        promised = segmenter.refiner.contract
        typer.echo(f"refiner: {promised.network}, {promised.precision}, on {segmenter.refiner.backend}", err=True)
    with _open(source, play) as frames:
        later = Prompter(read_prompts(prompts, play.start) if prompts else [], segmenter)
        protect = [path for path in (prompt[0], prompts) if path]
        with (
            open_sinks(source, *results, fps=frames.fps, protect=protect) as sink,
            stopping(frames) as signals,
        ):
            typer.echo(f"warm-up {warm_up(segmenter, noise(frames.size)):.1f} s", err=True)
            with typer.progressbar(length=frames.count or 0, label="frames", show_pos=True, file=sys.stderr) as bar:
                done = follow(
                    frames,
                    segmenter,
                    lambda image: first_mask(image, *prompt),
                    SinkGroup([sink, page]) if page else sink,
                    lambda count: bar.update(count - bar.pos),
                    max_age=play.max_age,
                    revise=later,
                )
    _say(done, results)
    if frames.live:
        _say_live(done, frames, segmenter)
    elif signals:  # a camera has no end of its own, a file has
        typer.echo("shls: interrupted; what was written so far is complete", err=True)
        raise typer.Exit(128 + signals[0])


def _parse(mask: Path | None, box: list[str] | None, point: list[str] | None) -> Prompt:
    """Read what marks the objects in the first frame; raises BadInput where nothing does, or too much."""
    from ..prompts.first_frame import parse_box, parse_point

    boxes = [parse_box(text) for text in box or []]
    points = [parse_point(text) for text in point or []]
    if mask is None and not boxes and not points:
        raise BadInput("no objects marked; give --mask FILE, --box x,y,w,h or --point x,y")
    if mask is not None and (boxes or points):
        raise BadInput("--mask together with --box or --point; expected one or the other")
    return mask, boxes, points


def _open(source: str, play: Play) -> Playback:
    from ..io.playback import Playback
    from ..io.sources import open_source
    from ..io.uris import is_live, redact

    if is_live(source) and play.loop:
        raise BadInput(f"{redact(source)}: is live and has no end to begin again at; leave --loop out")
    if not is_live(source) and play.max_age is not None:
        raise BadInput(f"{source}: its frames have no age, they are recorded; leave --max-age out")
    first = iter([play.start])  # further rounds play the whole
    return Playback(lambda: open_source(source, next(first, 0)), play.every, play.loop, play.duration)


def _say(done: Summary, results: tuple[Path | None, ...]) -> None:
    typer.echo(f"{done.frames} frames, {done.fps:.1f} frames per second")
    for path in filter(None, results):
        typer.echo(f"  {path}")


def _say_live(done: Summary, source: Source, segmenter: VideoSegmenter) -> None:
    import numpy as np

    median, most = 1000 * np.percentile(segmenter.stopwatch.seconds["age"], [50, 95])
    typer.echo(
        f"{done.dropped} frames dropped for newer ones, {done.late} results too late, "
        f"breaks: {source.breaks}; capture to result {median:.0f} ms, 95 % within {most:.0f} ms"
    )
