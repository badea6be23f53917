"""Options and checks that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .._support.extras import require as require  # for the commands
from ..errors import BadInput

if TYPE_CHECKING:
    import numpy as np

Model = Annotated[
    Path | None, typer.Option(help="Embedding network: ONNX file or engine. By default the shipped network.")
]
Refiner = Annotated[
    Path | None,
    typer.Option(
        help="Refiner network: ONNX file or engine. By default the shipped refiner, if it fits the embedding."
    ),
]
Prompter = Annotated[
    Path | None,
    typer.Option(
        help="Prompter network, which finds what boxes and points mark: ONNX file or engine. By default the shipped "
        "prompter, if it fits the embedding, or else GrabCut.",
    ),
]
Refined = Annotated[
    bool,
    typer.Option("--refined/--unrefined", help="Outline objects with the refiner network, or by colour alone."),
]
Threads = Annotated[
    int, typer.Option(help="CPU threads of the networks, at most the number of cores; 0 for all cores.", min=0)
]

Device = Annotated[
    Literal["cpu", "cuda", "tensorrt", "auto"],
    typer.Option(
        help="Device that runs ONNX networks. auto takes CUDA if it starts, else the CPU. Others never fall back."
    ),
]

StillsFolder = Annotated[Path, typer.Argument(help="Folder of still images or of .tar shards.")]

CALIBRATION_FRAMES = 32
CALIBRATION_METHOD: Literal["percentile"] = "percentile"
"""Default number of frames and default method of INT8 calibration."""


FirstMask = Annotated[
    Path | None,
    typer.Option(
        help="Not for an embedding: mask of the objects in the first frame of --frames, a clip. By default no clip."
    ),
]
Embedding = Annotated[
    Path | None,
    typer.Option(
        help="Not for an embedding: embedding that the network works with, ONNX file. By default the shipped one."
    ),
]


def check_refiner(refiner: Path | None, refined: bool) -> None:
    """Raise BadInput if a refiner is given together with --unrefined.

    Examples
    --------
    >>> check_refiner(Path("refiner.onnx"), refined=True)
    """
    if refiner is not None and not refined:
        raise BadInput("--refiner: contradicts --unrefined (got both, expected one of them). Leave one of them out.")


def check_model_name(out: Path, source: Path, suffix: str = ".onnx") -> None:
    """Check before long work that a model can be written and would not replace its own source.

    Parameters
    ----------
    out : file to write
    source : model or checkpoint that the new model is made of
    suffix : suffix that the name must have

    Raises
    ------
    BadInput
        If the name has another suffix, is the source itself, or cannot be written.

    Examples
    --------
    >>> check_model_name(Path("net.pt"), Path("checkpoint"))
    Traceback (most recent call last):
        ...
    shls.runtime.errors.BadInput: net.pt: wrong suffix (got .pt, expected .onnx). Choose another --out.
    """
    from .._support.files import check_writable

    if out.suffix != suffix:
        raise BadInput(f"{out}: wrong suffix (got {out.suffix or 'none'}, expected {suffix}). Choose another --out.")
    if out.exists() and source.exists() and out.samefile(source):
        raise BadInput(f"{out}: would replace the file that the model is made of. Choose another --out.")
    check_writable(out)


def shipped_clip() -> str:
    """Return the path of the shipped clip; its mask `bunny_mask.png` is in the same folder.

    Examples
    --------
    >>> Path(shipped_clip()).name
    'bunny.mp4'
    """
    from ..backends.pretrained import ASSETS

    return str(ASSETS / "bunny.mp4")


def read_frames(uri: str, count: int) -> list[np.ndarray]:
    """Read the first frames of a source.

    Parameters
    ----------
    uri : source as `shls run` takes it
    count : number of frames, at most

    Returns
    -------
    Frames (H, W, 3) uint8 RGB.

    Examples
    --------
    >>> len(read_frames(shipped_clip(), 2))
    2
    """
    from itertools import islice

    from ..io.sources import open_source

    with open_source(uri) as source:
        return [frame.image for frame in islice(source, count)]
