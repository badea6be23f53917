"""What several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .._support.extras import require as require  # for the commands
from ..errors import BadInput

if TYPE_CHECKING:
    import numpy as np

Model = Annotated[Path | None, typer.Option(help="ONNX model; the shipped one by default.")]
Refiner = Annotated[
    Path | None, typer.Option(help="ONNX model of the refiner; by default the shipped one, where it fits the model.")
]
Refined = Annotated[
    bool, typer.Option("--refined/--unrefined", help="Whether the refiner decides pixels, or colours alone.")
]
Threads = Annotated[int, typer.Option(help="CPU threads of the network; 0 takes all cores.", min=0)]

Device = Annotated[
    Literal["cpu", "cuda", "tensorrt", "auto"],
    typer.Option(help="What onnxruntime runs on; a device that is named never falls back to the CPU."),
]

StillsFolder = Annotated[Path, typer.Argument(help="Folder of images or of .tar shards.")]

CALIBRATION_FRAMES = 32
CALIBRATION_METHOD: Literal["percentile"] = "percentile"
"""What INT8 is calibrated on, unless something else is asked for."""


FirstMask = Annotated[
    Path | None, typer.Option(help="Of a refiner: objects in the first frame of --frames, a clip; without one, stills.")
]
Embedding = Annotated[
    Path | None, typer.Option(help="Of a refiner: ONNX model that it works with; the shipped one by default.")
]


def check_refiner(refiner: Path | None, refined: bool) -> None:
    """Raise BadInput for a refiner that is given and not wanted."""
    if refiner is not None and not refined:
        raise BadInput("--refiner together with --unrefined; expected one or the other")


def check_model_name(out: Path, source: Path, suffix: str = ".onnx") -> None:
    """Raise BadInput, before minutes of work, if a model cannot be written there, or would replace what it is made of.

    Parameters
    ----------
    out : file to write
    source : model or checkpoint that it is made of
    suffix : that its name must have
    """
    from .._support.files import check_writable

    if out.suffix != suffix:
        raise BadInput(f"{out}: expected a name that ends in {suffix}, by which models are known")
    if out.exists() and source.exists() and out.samefile(source):
        raise BadInput(f"{out}: is what the model is made of, and would be overwritten; choose another --out")
    check_writable(out)


def shipped_clip() -> str:
    """The clip that comes with the package; its mask lies beside it."""
    from ..backends.pretrained import ASSETS

    return str(ASSETS / "bunny.mp4")


def read_frames(uri: str, count: int) -> list[np.ndarray]:
    """The first frames of a source, (H, W, 3) uint8 RGB."""
    from itertools import islice

    from ..io.sources import open_source

    with open_source(uri) as source:
        return [frame.image for frame in islice(source, count)]
