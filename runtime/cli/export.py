"""`shls export`: checkpoints become ONNX, ONNX becomes engines."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import BadInput
from .calibration_inputs import calibration_inputs
from .options import (
    CALIBRATION_FRAMES,
    CALIBRATION_METHOD,
    Embedding,
    FirstMask,
    check_model_name,
    read_frames,
    require,
    shipped_clip,
)

if TYPE_CHECKING:
    from shls.export.to_onnx import ExportReport

    from ..models.contract import AnyContract

DEFAULT_SIZE = "864x480"
COMPARED = 4
"""Frames on which a file is compared with what it was made of."""


@dataclass(frozen=True)
class Calibration:
    """What INT8 is made of; see the options of `export`."""

    frames: str | None
    target: str
    mask: Path | None
    embedding: Path | None

    def quantize(self, model: Path) -> AnyContract:
        """Calibrate a model as `shls calibrate` does by itself, and put the INT8 one in its place."""
        from shls.calib.quantize import quantize
        from shls.calib.ranges import collect_ranges

        inputs = calibration_inputs(model, str(self.frames), self.mask, self.embedding, CALIBRATION_FRAMES, seed=0)
        return quantize(model, collect_ranges(model, inputs, CALIBRATION_METHOD), self.target, model)


def export(
    source: Annotated[
        Path, typer.Argument(help="Checkpoint or training folder; an fp32 ONNX file for fp16; any for an engine.")
    ],
    out: Annotated[Path, typer.Option(help="File to write.")],
    format: Annotated[
        Literal["onnx", "engine"], typer.Option(help="An engine is built on the device that will run it.")
    ] = "onnx",
    size: Annotated[
        str | None, typer.Option(help="Input of the embedding, WIDTHxHEIGHT.", show_default=DEFAULT_SIZE)
    ] = None,
    dynamic_batch: Annotated[
        bool, typer.Option("--dynamic-batch", help="Of a refiner: all objects in one run, not one after the other.")
    ] = False,
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
        typer.Option(help="Source to compare the two on, the shipped clip by default; of int8 to calibrate on."),
    ] = None,
    mask: FirstMask = None,
    embedding: Embedding = None,
    via: Annotated[
        Literal["trtexec"] | None, typer.Option(help="Only print this tool's line for the same engine.")
    ] = None,
) -> None:
    """Write a checkpoint as ONNX, compared with torch; or an ONNX file in FP16, or as TensorRT engine."""
    if out.suffix != f".{format}":
        raise BadInput(f"{out}: --format {format} writes NAME.{format}; name it so, or choose the other --format")
    of_int8: dict[str, object] = {"--target": target, "--mask": mask, "--embedding": embedding}
    if format == "engine":
        of_onnx: dict[str, object] = {
            "--size": size,
            "--precision": precision,
            "--frames": frames,
            "--dynamic-batch": dynamic_batch,
        }
        _refuse_others("--format engine", of_onnx | of_int8)
        _export_engine(source, out, via)
        return
    _refuse_others("--format onnx", {"--via": via})
    if precision != "int8":
        _refuse_others(f"--precision {precision or 'fp32'}", of_int8)
    elif frames is None:
        raise BadInput("--precision int8 calibrates on frames like those that will come; give --frames FOLDER or VIDEO")
    if source.suffix == ".onnx":
        _refuse_others("an ONNX file, which has its own", {"--size": size, "--dynamic-batch": dynamic_batch})
        _export_half(source, out, precision or "fp32", frames)
        return
    given = Calibration(frames, target or "tensorrt", mask, embedding)
    _export_onnx(source, out, size, precision or "fp32", dynamic_batch, given)


def _export_half(source: Path, out: Path, precision: str, frames: str | None) -> None:
    if precision != "fp16":
        words = {"int8": f"calibrate it with `shls calibrate {source}`"}
        raise BadInput(
            f"{source}: is ONNX already; {words.get(precision, 'give --precision fp16, or --format engine')}"
        )
    require("torch", "export")
    require("onnx", "export")
    import time

    from shls.export.onnx_to_fp16 import onnx_to_fp16

    check_model_name(out, source)
    begun = time.perf_counter()
    report = onnx_to_fp16(source, out, read_frames(frames or shipped_clip(), COMPARED))
    _tell(report, time.perf_counter() - begun)


def _export_onnx(
    checkpoint: Path, out: Path, size: str | None, precision: str, dynamic_batch: bool, given: Calibration
) -> None:
    require("torch", "export")
    require("onnx", "export")
    import time

    from shls.export.refiner_to_onnx import export_refiner, is_refiner
    from shls.export.to_onnx import export_onnx

    check_model_name(out, checkpoint)
    begun = time.perf_counter()
    if is_refiner(checkpoint):
        _refuse_others("a refiner, whose crops have one size", {"--size": size})
        report = export_refiner(checkpoint, out, dynamic_batch, precision, given.quantize)
    else:
        _refuse_others("an embedding, which takes one frame", {"--dynamic-batch": dynamic_batch})
        width, height = _parse_size(size or DEFAULT_SIZE)
        compared = given.frames if given.frames and precision != "int8" else shipped_clip()
        report = export_onnx(checkpoint, out, height, width, read_frames(compared, COMPARED), precision, given.quantize)
    _tell(report, time.perf_counter() - begun)


def _tell(report: ExportReport, seconds: float) -> None:
    """What was made, on one screen."""
    from ..models.contract import Contract

    contract, near = report.contract, report.near
    if isinstance(contract, Contract):
        takes, each, what = f"{contract.width}x{contract.height}", "", "frames"
    else:
        takes, each, what = f"{contract.size}x{contract.size}", " per object", "random crops"
    typer.echo(
        f"{report.path}\n"
        f"  network     {contract.network}, {contract.precision}, input {takes}, opset {contract.opset}\n"
        f"  size        {report.megabytes:.2f} MB, {report.macs / 1e9:.2f} GMAC{each}\n"
        f"  compared    to {near.to}: largest difference {near.difference:.1e}, mean cosine {near.cosine:.6f}, "
        f"over {near.over} {what}\n"
        f"  took        {seconds:.0f} s"
    )


def _export_engine(onnx: Path, out: Path, via: str | None) -> None:
    if onnx.suffix != ".onnx":
        raise BadInput(f"{onnx}: an engine is built from ONNX; make it first with `shls export {onnx} --out ...`")
    from shls.export.tensorrt_builder import contract_for_tensorrt, to_engine, trtexec_line

    if via:
        contract_for_tensorrt(onnx)
        typer.echo(trtexec_line(onnx, out))
        return

    check_model_name(out, onnx, ".engine")
    try:
        sidecar = to_engine(onnx, out, progress=_tell_progress)
    finally:
        _clear_progress()
    machine = sidecar.machine
    typer.echo(
        f"{out}: {sidecar.contract.precision}, {out.stat().st_size / 1e6:.1f} MB, for {machine.gpu} "
        f"(compute capability {machine.compute_capability}) with TensorRT {machine.tensorrt}"
    )


def _tell_progress(phase: str, done: int, steps: int) -> None:
    """One line that changes; where that cannot be, one for each phase that is done."""
    if sys.stderr.isatty():
        typer.echo(f"\r{phase} {done}/{steps}\033[K", err=True, nl=False)
    elif done == steps:
        typer.echo(f"{phase}: done", err=True)


def _clear_progress() -> None:
    if sys.stderr.isatty():
        typer.echo("\r\033[K", err=True, nl=False)


def _refuse_others(chosen: str, given: dict[str, object]) -> None:
    """Raise BadInput for options that do not go with what was chosen."""
    for option, value in given.items():
        if value:
            raise BadInput(f"{option} has no meaning for {chosen}; leave it out")


def _parse_size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError:
        raise BadInput(f"size {text!r}; expected WIDTHxHEIGHT, as in 864x480") from None
    return width, height
