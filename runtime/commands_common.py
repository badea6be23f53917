"""What several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from shls.runtime.errors import MissingDependency

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

CALIBRATION_FRAMES = 32
CALIBRATION_METHOD: Literal["percentile"] = "percentile"
"""What INT8 is calibrated on, unless something else is asked for."""


def require(package: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingDependency(f"{package} is not installed; run `pip install 'shls[{extra}]'`")


def write_json(path: Path, content: object) -> None:
    import json

    from shls.runtime.files import replace_file

    replace_file(path, (json.dumps(content, indent=2) + "\n").encode())
