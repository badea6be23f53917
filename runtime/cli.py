"""The command line. Thin: each command imports what it needs, so that help comes at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shls.runtime.errors import BadInput, MissingDependency, ShlsError

if TYPE_CHECKING:
    from shls.runtime.pipeline import Summary
    from shls.runtime.segmenter import VideoSegmenter

app = typer.Typer(
    help="Follow objects through video: self-supervised, small, exportable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Model = Annotated[Path | None, typer.Option(help="ONNX model; the shipped one by default.")]
Threads = Annotated[int, typer.Option(help="CPU threads of the network; 0 takes all cores.", min=0)]


@app.command()
def run(
    source: Annotated[
        str, typer.Argument(help="Video file, folder of images, image_%05d.jpg or 'glob*.png'.")
    ],
    mask: Annotated[
        Path | None, typer.Option(help="First mask: palette, binary PNG, or a folder of them.")
    ] = None,
    box: Annotated[
        list[str] | None, typer.Option(help="Box x,y,w,h around an object; may be repeated.")
    ] = None,
    point: Annotated[
        list[str] | None, typer.Option(help="Point x,y on an object; may be repeated.")
    ] = None,
    start: Annotated[int, typer.Option(help="Frame in which the objects are marked.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="Overlay video to write, .mp4.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder for one palette PNG per frame.")] = None,
    json: Annotated[
        Path | None, typer.Option(help="JSON lines: per frame the objects and their masks.")
    ] = None,
    model: Model = None,
    threads: Threads = 0,
) -> None:
    """Follow the marked objects through a video."""
    from shls.runtime.prompts import parse_box, parse_point

    boxes = [parse_box(text) for text in box or []]
    points = [parse_point(text) for text in point or []]
    if mask is None and not boxes and not points:
        raise BadInput("no objects marked; give --mask FILE, --box x,y,w,h or --point x,y")

    from shls.runtime.segmenter import open_segmenter

    segmenter = open_segmenter(model, threads)
    _follow(segmenter, source, start, (mask, boxes, points), (out, masks, json))


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-output")) -> None:
    """Follow the rabbit of the shipped clip with the shipped model."""
    from shls.runtime.segmenter import SHIPPED_MODEL, open_segmenter

    assets = SHIPPED_MODEL.parent
    segmenter = open_segmenter()
    results = (out / "overlay.mp4", out / "masks", out / "objects.jsonl")
    _follow(segmenter, str(assets / "bunny.mp4"), 0, (assets / "bunny_mask.png", [], []), results)
    for stage, milliseconds in segmenter.stopwatch.medians().items():
        typer.echo(f"  {stage:<12} {milliseconds:7.2f} ms  (median)")


@app.command("eval")
def evaluate(
    root: Annotated[Path, typer.Option(help="Folder in the layout of DAVIS.")],
    set_file: Annotated[Path, typer.Option("--set", help="Text file that lists the sequences.")],
    json: Annotated[Path | None, typer.Option(help="Write the scores here.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep predictions and scores here; a rerun resumes.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Sequences at a time.", min=1)] = 1,
    model: Model = None,
) -> None:
    """Measure J, F and J&F by the official DAVIS protocol."""
    from functools import partial

    from shls.runtime.evaluation import Result, result_key
    from shls.runtime.evaluation import evaluate as evaluate_set
    from shls.runtime.segmenter import SHIPPED_MODEL, open_segmenter

    def tell(result: Result, done: int, total: int) -> None:
        typer.echo(f"{done}/{total} {result.name}", err=True)

    path = model or SHIPPED_MODEL
    threads = 1 if jobs > 1 else 0
    open_session = partial(open_segmenter, path, threads=threads)
    key = result_key(path) if path.exists() else ""
    report = evaluate_set(root, set_file, open_session, jobs=jobs, out=out, key=key, progress=tell)
    typer.echo(report.table())
    if json:
        _write_json(json, report.to_dict())


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="Folder of images or of .tar shards.")],
    out: Annotated[Path, typer.Option(help="Training folder; an interrupted run in it is resumed.")],
    steps: Annotated[int, typer.Option(help="Optimiser steps of the whole run.", min=1)] = 4500,
    batch: Annotated[int, typer.Option(help="Pairs of views per step.", min=1)] = 12,
    points: Annotated[int, typer.Option(help="Corresponding points per pair.", min=1)] = 128,
    crop: Annotated[int, typer.Option(help="Side of a view, pixels; a multiple of 16.", min=32)] = 192,
    lr: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    temperature: Annotated[float, typer.Option(help="Of the InfoNCE loss.")] = 0.07,
    margin: Annotated[
        float, typer.Option(help="Pixels around the right partner not counted as wrong.")
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Of weights and views.")] = 0,
) -> None:
    """Train the embedding network on unlabelled stills."""
    _require("torch", "train")
    from shls_train.config import TrainConfig
    from shls_train.train import Progress
    from shls_train.train import train as train_network

    config = TrainConfig(steps, batch, points, crop, lr, temperature, margin, seed)
    with typer.progressbar(length=steps, label="training", item_show_func=lambda text: text) as bar:

        def tell(at: Progress) -> None:
            bar.update(at.step - bar.pos, f"loss {at.loss:.3f}, matching {at.accuracy:.1%}")

        last = train_network(data, out, config, tell)
    typer.echo(f"checkpoint {last}")


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint file, or a training folder.")],
    out: Annotated[Path, typer.Option(help="ONNX file to write.")],
    size: Annotated[str, typer.Option(help="Network input, WIDTHxHEIGHT.")] = "864x480",
    frames: Annotated[
        str | None, typer.Option(help="Source to compare with torch on; the shipped clip.")
    ] = None,
) -> None:
    """Write a checkpoint as ONNX, compared with torch on real frames."""
    _require("torch", "export")
    _require("onnx", "export")
    from itertools import islice

    from shls.export.to_onnx import export_onnx
    from shls.runtime.segmenter import SHIPPED_MODEL
    from shls.runtime.sources import open_source

    width, height = _parse_size(size)
    with open_source(frames or str(SHIPPED_MODEL.parent / "bunny.mp4")) as source:
        images = [frame.image for frame in islice(source, 4)]
    report = export_onnx(checkpoint, out, height, width, images)
    typer.echo(
        f"{report.path}: {report.megabytes:.1f} MB, {report.contract.network} at {size}, opset {report.contract.opset}; "
        f"largest difference to torch {report.max_difference:.1e} over {report.frames} frames"
    )


def main() -> None:
    """The `shls` command: errors of the user's are one line and exit code 2, an interrupt is 130."""
    try:
        app()
    except ShlsError as error:
        typer.echo(f"shls: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("shls: interrupted; what was written so far is complete", err=True)
        sys.exit(130)


def _follow(
    segmenter: VideoSegmenter,
    source: str,
    start: int,
    prompt: tuple[Path | None, list[tuple[int, int, int, int]], list[tuple[int, int]]],
    results: tuple[Path | None, Path | None, Path | None],
) -> None:
    """Run with a progress bar, and say what came of it."""
    from shls.runtime.pipeline import follow
    from shls.runtime.prompts import first_mask
    from shls.runtime.sinks import open_sinks
    from shls.runtime.sources import open_source

    typer.echo(f"network: {segmenter.session.contract.network} on {segmenter.session.backend}", err=True)
    with open_source(source, start) as frames:
        protect = [prompt[0]] if prompt[0] else []
        with (
            open_sinks(source, *results, fps=frames.fps, protect=protect) as sink,
            typer.progressbar(
                length=frames.count or 0, label="frames", show_pos=True, file=sys.stderr
            ) as bar,
        ):
            done = follow(
                frames,
                segmenter,
                lambda image: first_mask(image, *prompt),
                sink,
                lambda count: bar.update(count - bar.pos),
            )
    _say(done, results)


def _say(done: Summary, results: tuple[Path | None, ...]) -> None:
    typer.echo(f"{done.frames} frames, {done.fps:.1f} frames per second")
    for path in filter(None, results):
        typer.echo(f"  {path}")


def _parse_size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError:
        raise BadInput(f"size {text!r}; expected WIDTHxHEIGHT, as in 864x480") from None
    return width, height


def _require(package: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingDependency(f"{package} is not installed; run `pip install 'shls[{extra}]'`")


def _write_json(path: Path, content: object) -> None:
    import json
    import os

    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another place") from error
