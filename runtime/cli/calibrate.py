"""`shls calibrate` and `shls sensitivity`: quantisation of fp32 models to INT8."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import BadInput
from .calibration_inputs import calibration_inputs
from .options import (
    CALIBRATION_FRAMES,
    CALIBRATION_METHOD,
    Embedding,
    FirstMask,
    check_model_name,
    require,
    shipped_clip,
)

FloatModel = Annotated[Path, typer.Argument(help="fp32 ONNX file that `shls export` wrote.")]
Target = Annotated[Literal["tensorrt", "cpu"], typer.Option(help="Engine that will run the INT8 model.")]
Method = Annotated[
    Literal["minmax", "entropy", "percentile"],
    typer.Option(help="Method for the ranges: minmax keeps rare large values, percentile and entropy cut them."),
]
Frames = Annotated[str, typer.Option(help="Calibration frames: folder, .tar shards, video or pattern.")]
Count = Annotated[int, typer.Option(help="Number of frames to choose, as different as possible.", min=1)]
Seed = Annotated[int, typer.Option(help="Random seed for frame selection.", min=0)]
KeptRanges = Annotated[Path | None, typer.Option(help="JSON file of ranges: read if it exists, otherwise written.")]
COMPARED = 4
"""Number of frames on which single convolutions are compared."""


def calibrate(
    model: FloatModel,
    frames: Frames,
    out: Annotated[Path, typer.Option(help="INT8 ONNX file to write.")],
    target: Target = "tensorrt",
    method: Method = CALIBRATION_METHOD,
    count: Count = CALIBRATION_FRAMES,
    seed: Seed = 0,
    ranges: KeptRanges = None,
    mask: FirstMask = None,
    embedding: Embedding = None,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(help="Name of a convolution that stays float, from `shls sensitivity`; may be repeated."),
    ] = None,
) -> None:
    """Quantise an fp32 model to INT8 with ranges measured on real frames; needs no GPU."""
    require("onnx", "export")
    from shls.calib.graph import load_float_model
    from shls.calib.quantize import check_names, quantize
    from shls.calib.ranges import kept_ranges

    from .._support.files import check_writable
    from ..models.contract import Contract

    # all checks come before the minutes of calibration
    check_names(load_float_model(model)[0], keep_float or [])
    check_model_name(out, model)
    if ranges:
        check_writable(ranges)
    inputs = calibration_inputs(model, frames, mask, embedding, count, seed)
    runs = inputs.runs * (1 if method == "minmax" else 2)
    with typer.progressbar(length=runs, label="ranges", file=sys.stderr) as bar:
        known = kept_ranges(model, inputs, method, ranges, lambda done: bar.update(done - bar.pos))
    contract = quantize(model, known, target, out, keep_float or [])
    before, after = model.stat().st_size, out.stat().st_size
    what = "frames" if isinstance(contract, Contract) else "crops"
    typer.echo(
        f"{out}: {contract.precision}, {after / 1e6:.1f} MB, {after / before:.0%} of fp32; {method} over "
        f"{inputs.runs} of {inputs.candidates} {what}, seed {seed}"
    )


def sensitivity(
    model: FloatModel,
    frames: Frames,
    target: Target = "tensorrt",
    method: Method = CALIBRATION_METHOD,
    count: Count = CALIBRATION_FRAMES,
    seed: Seed = 0,
    ranges: KeptRanges = None,
    mask: FirstMask = None,
    embedding: Embedding = None,
    on: Annotated[str | None, typer.Option(help="Clip to compare on; the shipped clip by default.")] = None,
    on_mask: Annotated[Path | None, typer.Option(help="Objects in the first frame of --on; for a refiner.")] = None,
    chart: Annotated[Path | None, typer.Option(help="Bar chart to write, .png.")] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(help="Largest acceptable fall of J&F, 0 to 1: find the convolutions that must stay float.", min=0),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder in the layout of DAVIS; for --max-drop.")] = None,
    set_file: Annotated[Path | None, typer.Option("--set", help="File of sequence names; for --max-drop.")] = None,
) -> None:
    """Quantise one convolution at a time and list which convolutions lose most accuracy."""
    if (max_drop is None) != (root is None) or (root is None) != (set_file is None):
        raise BadInput("--max-drop, --root and --set: only some are given. Give all three, or none")
    if chart is not None and chart.suffix != ".png":
        raise BadInput(f"--chart: wrong suffix (got {chart}, expected NAME.png). Rename the chart")
    require("onnx", "export")
    from shls.calib.graph import Graph, load_float_model
    from shls.calib.mixed_precision import keep_float
    from shls.calib.ranges import kept_ranges
    from shls.calib.sensitivity import draw_chart, table
    from shls.calib.sensitivity import sensitivity as measure

    from .._support.files import check_writable
    from ..evaluation.davis import find_sequences
    from ..models.contract import Contract, PrompterContract

    graph, contract = load_float_model(model)
    for path in filter(None, (ranges, chart)):
        check_writable(path)
    if root is not None and set_file is not None:
        find_sequences(root, set_file)  # reports missing files before the minutes of work
    refines = not isinstance(contract, Contract)
    if root is not None and isinstance(contract, PrompterContract):
        raise BadInput("--max-drop: a prompter does not follow objects. Leave --max-drop, --root and --set out")
    if refines and on is None:
        on_mask = Path(shipped_clip()).with_name("bunny_mask.png")
    compared = calibration_inputs(model, on or shipped_clip(), on_mask, embedding, COMPARED, seed)
    known = kept_ranges(model, calibration_inputs(model, frames, mask, embedding, count, seed), method, ranges)
    convolutions = len(Graph(graph).of_kind("Conv"))
    with typer.progressbar(length=convolutions, label="convolutions", file=sys.stderr) as bar:
        losses = measure(model, known, target, compared, lambda done: bar.update(done - bar.pos))
    typer.echo(table(losses))
    if chart:
        draw_chart(losses, chart)
        typer.echo(f"  {chart}")
    if max_drop is not None and root is not None and set_file is not None:

        def score(path: Path) -> float:
            model, refiner = (embedding, path) if refines else (path, None)
            return _jf(model, refiner, root, set_file)

        exact = score(model)
        typer.echo(f"J&F {exact:.4f} in fp32{'' if refines else ', unrefined'}")
        trials = keep_float(model, known, target, losses, exact - max_drop, score)
        for kept, reached in trials:  # each trial takes as long as an evaluation
            typer.echo(f"J&F {reached:.4f} in int8-{target}, {len(kept)} convolutions float")
        typer.echo(f"keep: {' '.join(f'--keep-float {name}' for name in kept) or 'none'}")


def _jf(model: Path | None, refiner: Path | None, root: Path, set_file: Path) -> float:
    """Return J&F, 0 to 1, of an embedding without refiner, or of a refiner with its embedding."""
    from functools import partial

    from ..evaluation.evaluate import evaluate
    from ..segmenter import open_segmenter

    mean = evaluate(root, set_file, partial(open_segmenter, model, refiner=refiner, refined=refiner is not None)).mean()
    return (mean.j + mean.f) / 2
