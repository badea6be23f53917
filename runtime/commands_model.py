"""`shls export`, `shls verify` and `shls info`: models, and whether they do what they should."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from shls.runtime.commands_common import CALIBRATION_FRAMES, CALIBRATION_METHOD, Threads, require
from shls.runtime.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    from shls.runtime.contract import Contract

DEFAULT_SIZE = "864x480"


def export(
    source: Annotated[Path, typer.Argument(help="Checkpoint or training folder; an ONNX file for an engine.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    format: Annotated[
        Literal["onnx", "engine"], typer.Option(help="An engine is built on the device that will run it.")
    ] = "onnx",
    size: Annotated[
        str | None, typer.Option(help="Network input of ONNX, WIDTHxHEIGHT.", show_default=DEFAULT_SIZE)
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        typer.Option(
            help="Of ONNX; int8 calibrates on --frames, `shls calibrate` does with more to choose.", show_default="fp32"
        ),
    ] = None,
    target: Annotated[
        Literal["tensorrt", "cpu"] | None,
        typer.Option(help="Of int8: the engine that will run it.", show_default="tensorrt"),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            help="Source to compare ONNX with torch on, the shipped clip by default; of int8 to calibrate on."
        ),
    ] = None,
    via: Annotated[
        Literal["trtexec"] | None, typer.Option(help="Only print this tool's line for the same engine.")
    ] = None,
) -> None:
    """Write a checkpoint as ONNX, compared with torch on real frames; or an ONNX file as TensorRT engine."""
    if out.suffix != f".{format}":
        raise BadInput(f"{out}: --format {format} writes NAME.{format}; name it so, or choose the other --format")
    if format == "engine":
        _refuse_others(
            "--format engine", {"--size": size, "--precision": precision, "--target": target, "--frames": frames}
        )
        _export_engine(source, out, via)
        return
    _refuse_others("--format onnx", {"--via": via})
    if precision != "int8":
        _refuse_others(f"--precision {precision or 'fp32'}", {"--target": target})
    elif frames is None:
        raise BadInput("--precision int8 calibrates on frames like those that will come; give --frames FOLDER or VIDEO")
    _export_onnx(source, out, size or DEFAULT_SIZE, precision or "fp32", target or "tensorrt", frames)


def _export_onnx(checkpoint: Path, out: Path, size: str, precision: str, target: str, frames: str | None) -> None:
    if checkpoint.suffix == ".onnx":
        raise BadInput(f"{checkpoint}: is ONNX already; for an engine give --format engine")
    require("torch", "export")
    require("onnx", "export")
    import time

    from shls.export.to_onnx import export_onnx
    from shls.runtime.segmenter import SHIPPED_MODEL

    width, height = _parse_size(size)
    clip = str(SHIPPED_MODEL.parent / "bunny.mp4")
    images = _read(clip if frames is None or precision == "int8" else frames, 4)
    begun = time.perf_counter()
    report = export_onnx(
        checkpoint, out, height, width, images, precision, lambda model: _quantized(model, str(frames), target)
    )
    contract = report.contract
    typer.echo(
        f"{report.path}\n"
        f"  network     {contract.network}, {contract.precision}, input {size}, opset {contract.opset}\n"
        f"  size        {report.megabytes:.2f} MB, {report.macs / 1e9:.2f} GMAC\n"
        f"  to torch    largest difference {report.max_difference:.1e}, mean cosine {report.cosine:.6f}, "
        f"over {report.frames} frames\n"
        f"  took        {time.perf_counter() - begun:.0f} s"
    )


def _quantized(model: Path, frames: str, target: str) -> Contract:
    """Calibrate a model as `shls calibrate` does by itself, and put the INT8 one in its place."""
    from shls.calib.quantize import quantize
    from shls.calib.ranges import collect_ranges
    from shls.calib.samples import sample_frames

    samples = sample_frames(frames, CALIBRATION_FRAMES, seed=0)
    return quantize(model, collect_ranges(model, samples, CALIBRATION_METHOD), target, model)


def _export_engine(onnx: Path, out: Path, via: str | None) -> None:
    if onnx.suffix != ".onnx":
        raise BadInput(f"{onnx}: an engine is built from ONNX; make it first with `shls export {onnx} --out ...`")
    from shls.export.to_engine import contract_for_tensorrt, to_engine, trtexec_line

    if via:
        contract_for_tensorrt(onnx)
        typer.echo(trtexec_line(onnx, out))
        return

    def tell(phase: str, done: int, steps: int) -> None:
        typer.echo(f"\r{phase} {done}/{steps}\033[K", err=True, nl=done == steps)

    sidecar = to_engine(onnx, out, progress=tell)
    machine = sidecar.machine
    typer.echo(
        f"{out}: {sidecar.contract.precision}, {out.stat().st_size / 1e6:.1f} MB, for {machine.gpu} "
        f"(compute capability {machine.compute_capability}) with TensorRT {machine.tensorrt}"
    )


def _refuse_others(chosen: str, given: dict[str, object]) -> None:
    """Raise BadInput for options that do not go with what was chosen."""
    for option, value in given.items():
        if value is not None:
            raise BadInput(f"{option} has no meaning for {chosen}; leave it out")


def verify(
    a: Annotated[Path, typer.Argument(help="Checkpoint or exported model: the reference.")],
    b: Annotated[Path, typer.Argument(help="Checkpoint or exported model.")],
    on: Annotated[str | None, typer.Option(help="Clip to compare on; the shipped one.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Objects in the clip's first frame.")] = None,
    count: Annotated[int, typer.Option(help="Frames of the clip, at most.", min=1)] = 60,
    cosine: Annotated[float | None, typer.Option(help="Least mean cosine of superfeatures.")] = None,
    iou: Annotated[float | None, typer.Option(help="Least mean IoU of the masks.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for the worst frames.")] = None,
    save_inputs: Annotated[Path | None, typer.Option(help="Keep frames and mask here, .npz.")] = None,
    replay: Annotated[Path | None, typer.Option(help="Take frames and mask from such a file.")] = None,
    threads: Threads = 0,
) -> None:
    """Compare two models on the same frames; exit code 1 if they differ more than they may."""
    from shls.export import verify as verification

    if replay and (on or mask):
        raise BadInput("--replay has frames and mask of its own; leave --on and --mask out")
    first, second = verification.open_either(a, b, threads)
    images, labels = verification.load_inputs(replay) if replay else _clip(on, mask, count)
    if save_inputs:
        verification.save_inputs(save_inputs, images, labels)
    default = verification.tolerance_for(first.contract, second.contract)
    tolerance = verification.Tolerance(
        default.cosine if cosine is None else cosine, default.iou if iou is None else iou
    )
    with typer.progressbar(length=len(images), label="frames", file=sys.stderr) as bar:
        verdict = verification.compare(
            first, second, images, labels, tolerance, pictures, lambda done: bar.update(done - bar.pos)
        )
    for name, path, session in (("A", a, first), ("B", b, second)):
        typer.echo(f"{name}  {path}: {session.contract.precision} on {session.backend}")
    digests = [session.contract.checkpoint_sha256 for session in (first, second)]
    if all(digests) and digests[0] != digests[1]:
        typer.echo("note: the two were made of different weights")
    typer.echo(verdict.table())
    for line in verdict.broken():
        typer.echo(f"BROKEN: {line}")
    if verdict.broken():
        raise typer.Exit(1)
    typer.echo("the two do the same within tolerances")


def info(file: Annotated[Path, typer.Argument(help="ONNX model or engine.")]) -> None:
    """Show what a model promises, and what an engine was built for."""
    import json

    from shls.runtime.session import describe

    typer.echo(json.dumps(describe(file), indent=2))


def _clip(on: str | None, mask: Path | None, count: int) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Frames and first mask; of the shipped clip, where none is named."""
    from shls.runtime.masks import read_mask
    from shls.runtime.segmenter import SHIPPED_MODEL

    assets = SHIPPED_MODEL.parent
    if on is None:
        on, mask = str(assets / "bunny.mp4"), mask or assets / "bunny_mask.png"
    images = _read(on, count)
    return images, None if mask is None else read_mask(mask, images[0].shape[:2])


def _read(uri: str, count: int) -> list[np.ndarray]:
    from itertools import islice

    from shls.runtime.sources import open_source

    with open_source(uri) as source:
        return [frame.image for frame in islice(source, count)]


def _parse_size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError:
        raise BadInput(f"size {text!r}; expected WIDTHxHEIGHT, as in 864x480") from None
    return width, height
