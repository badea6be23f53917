"""`shls export`: checkpoints and ONNX files become ONNX files and TensorRT engines."""

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
    from shls.export.comparison import ExportReport

    from ..models.contract import AnyContract

DEFAULT_SIZE = "864x480"
COMPARED = 4
"""Number of frames on which a file is compared with its source."""


@dataclass(frozen=True)
class Calibration:
    """Options of `shls export` for INT8.

    Attributes
    ----------
    frames
        Calibration frames: folder, .tar shard, video or pattern.
    target
        The engine that will run the model: tensorrt or cpu.
    mask
        Objects in the first frame of `frames`; for a refiner.
    embedding
        The embedding of a refiner; None for the shipped one.

    Examples
    --------
    >>> Calibration("stills", "cpu", None, None).target
    'cpu'
    """

    frames: str | None
    target: str
    mask: Path | None
    embedding: Path | None

    def quantize(self, model: Path) -> AnyContract:
        """Calibrate an fp32 model with the defaults of `shls calibrate` and replace the file by an INT8 model."""
        from shls.calib.quantize import quantize
        from shls.calib.ranges import collect_ranges

        inputs = calibration_inputs(model, str(self.frames), self.mask, self.embedding, CALIBRATION_FRAMES, seed=0)
        return quantize(model, collect_ranges(model, inputs, CALIBRATION_METHOD), self.target, model)


def export(
    source: Annotated[
        Path,
        typer.Argument(
            help="Checkpoint or training folder; or an fp32 ONNX file, for fp16 or another --size; or any ONNX file, "
            "for an engine."
        ),
    ],
    out: Annotated[Path, typer.Option(help="File to write, .onnx or .engine.")],
    format: Annotated[
        Literal["onnx", "engine"], typer.Option(help="File format; an engine is built on the device that will run it.")
    ] = "onnx",
    size: Annotated[
        str | None,
        typer.Option(
            help="Input size of the embedding, WIDTHxHEIGHT in pixels; an ONNX file keeps its size by default.",
            show_default=DEFAULT_SIZE,
        ),
    ] = None,
    dynamic_batch: Annotated[
        bool,
        typer.Option("--dynamic-batch", help="Refiner that takes all objects in one run, instead of one object."),
    ] = False,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"] | None,
        typer.Option(
            help="Precision of the ONNX file; int8 calibrates on --frames, with the defaults of `shls calibrate`.",
            show_default="fp32",
        ),
    ] = None,
    target: Annotated[
        Literal["tensorrt", "cpu"] | None,
        typer.Option(help="Engine that will run the file; for int8.", show_default="tensorrt"),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(help="Frames for comparison, the shipped clip by default; for int8, frames for calibration."),
    ] = None,
    mask: FirstMask = None,
    embedding: Embedding = None,
    via: Annotated[
        Literal["trtexec"] | None, typer.Option(help="Print the trtexec command for the same engine and build nothing.")
    ] = None,
) -> None:
    """Export a checkpoint as ONNX and compare it with torch; or convert ONNX to FP16, another size, or an engine."""
    if out.suffix != f".{format}":
        raise BadInput(f"--out: wrong suffix (got {out}, expected NAME.{format}). Rename it, or change --format")
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
        raise BadInput("--precision int8: no calibration frames. Give --frames FOLDER or VIDEO like your own videos")
    given = Calibration(frames, target or "tensorrt", mask, embedding)
    if source.suffix == ".onnx":
        _refuse_others("an ONNX file, which has its own number of objects", {"--dynamic-batch": dynamic_batch})
        if size is None:
            _export_half(source, out, precision or "fp32", frames)
            return
    _export_onnx(source, out, size, precision or "fp32", dynamic_batch, given)


def _export_half(source: Path, out: Path, precision: str, frames: str | None) -> None:
    """Convert an ONNX file to FP16."""
    if precision != "fp16":
        ways = {"int8": f"Calibrate it with `shls calibrate {source}`, or give --size, too"}
        other = "Give --precision fp16, --size WIDTHxHEIGHT, or --format engine"
        raise BadInput(f"{source}: already ONNX. {ways.get(precision, other)}")
    require("torch", "export")
    require("onnx", "export")
    import time

    from shls.export.onnx_to_fp16 import onnx_to_fp16

    check_model_name(out, source)
    begun = time.perf_counter()
    report = onnx_to_fp16(source, out, read_frames(frames or shipped_clip(), COMPARED))
    _print(report, time.perf_counter() - begun)


def _export_onnx(
    source: Path, out: Path, size: str | None, precision: str, dynamic_batch: bool, given: Calibration
) -> None:
    """Export a checkpoint, or an ONNX embedding at another size."""
    for package in ("torch", "onnx", "onnxscript"):
        require(package, "export")
    import time

    from shls.export.refiner_to_onnx import export_refiner
    from shls.export.to_onnx import export_onnx, resize_onnx
    from shls.export.verify_prompter import is_prompter
    from shls.export.verify_refiner import is_refiner

    check_model_name(out, source)
    begun = time.perf_counter()
    if is_prompter(source):
        _refuse_others("a prompter, whose crops have one size", {"--size": size, "--dynamic-batch": dynamic_batch})
        report = export_refiner(source, out, False, precision, given.quantize)
    elif is_refiner(source):
        _refuse_others("a refiner, whose crops have one size", {"--size": size})
        report = export_refiner(source, out, dynamic_batch, precision, given.quantize)
    else:
        _refuse_others("an embedding, which takes one frame", {"--dynamic-batch": dynamic_batch})
        width, height = _parse_size(size or DEFAULT_SIZE)
        compared = given.frames if given.frames and precision != "int8" else shipped_clip()
        write = resize_onnx if source.suffix == ".onnx" else export_onnx
        report = write(source, out, height, width, read_frames(compared, COMPARED), precision, given.quantize)
    _print(report, time.perf_counter() - begun)


def _print(report: ExportReport, seconds: float) -> None:
    """Print the result of an export."""
    from ..models.contract import Contract

    contract, near = report.contract, report.near
    if isinstance(contract, Contract):
        takes, each, what = f"{contract.width}x{contract.height}", "", "frames"
    else:
        takes, each, what = f"{contract.size}x{contract.size}", f" per {_unit(contract)}", "random crops"
    lines = [
        f"{report.path}",
        f"  network     {contract.network}, {contract.precision}, input {takes}, opset {contract.opset}",
        f"  size        {report.megabytes:.2f} MB, {report.macs / 1e9:.2f} GMAC{each}",
        f"  compared    to {near.to}: largest difference {near.difference:.1e}, mean cosine {near.cosine:.6f}, "
        f"over {near.over} {what}",
    ]
    if report.original is not None:
        lines.append(
            f"  original    to the same weights at its own size: largest difference {report.original.difference:.1e}, "
            f"mean cosine {report.original.cosine:.6f}"
        )
    typer.echo("\n".join([*lines, f"  took        {seconds:.0f} s"]))


def _unit(contract: AnyContract) -> str:
    """Return what one run of a network that reads crops is for."""
    return "prompt" if contract.role == "prompter" else "object"


def _export_engine(onnx: Path, out: Path, via: str | None) -> None:
    if onnx.suffix != ".onnx":
        raise BadInput(f"{onnx}: an engine is built from ONNX. Run `shls export {onnx} --out NAME.onnx` first")
    from shls.export.tensorrt_builder import contract_for_tensorrt, to_engine, trtexec_line

    if via:
        contract_for_tensorrt(onnx)
        typer.echo(trtexec_line(onnx, out))
        typer.echo(f"afterwards, on the same device: shls info --adopt {out} --onnx {onnx}", err=True)
        return

    check_model_name(out, onnx, ".engine")
    try:
        sidecar = to_engine(onnx, out, progress=print_progress)
    finally:
        clear_progress()
    machine = sidecar.machine
    typer.echo(
        f"{out}: {sidecar.contract.precision}, {out.stat().st_size / 1e6:.1f} MB, for {machine.gpu} "
        f"(compute capability {machine.compute_capability}) with TensorRT {machine.tensorrt}"
    )


def print_progress(phase: str, done: int, steps: int) -> None:
    """Update one line on a terminal; elsewhere, print one line per finished phase."""
    if sys.stderr.isatty():
        typer.echo(f"\r{phase} {done}/{steps}\033[K", err=True, nl=False)
    elif done == steps:
        typer.echo(f"{phase}: done", err=True)


def clear_progress() -> None:
    if sys.stderr.isatty():
        typer.echo("\r\033[K", err=True, nl=False)


def _refuse_others(chosen: str, given: dict[str, object]) -> None:
    """Raise BadInput for options that do not apply to what was chosen."""
    for option, value in given.items():
        if value:
            raise BadInput(f"{option}: has no meaning for {chosen}. Leave it out")


def _parse_size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise BadInput(f"--size: not a size (got {text!r}, expected WIDTHxHEIGHT such as 864x480)") from None
    return width, height
