"""Arguments and options that `shls run` and `shls serve` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput

Prompt = tuple[Path | None, list[tuple[int, int, int, int]], list[tuple[int, int]]]
"""Objects in the first frame: the file of a mask; or boxes x, y, width, height, and points x, y."""


@dataclass(frozen=True)
class Play:
    """How a source is played; the fields are options of `shls run`.

    Examples
    --------
    >>> Play(every=2).start
    0
    """

    start: int = 0
    every: int = 1
    loop: bool = False
    duration: float | None = None
    max_age: float | None = None


SourceName = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Video file, folder of images, or pattern of image names ('image_%05d.jpg', 'glob*.png'); "
        "URL of a recording or of a live stream (http, rtsp, rtmp, srt, udp); "
        "camera (0, /dev/video0, csi://0). Options of a camera follow '?', as in "
        "'0?width=1280&height=720&fps=30&codec=mjpg&flip=180'. Options of a URL follow '#', as in "
        "'rtsp://user:password@host/path#width=640&height=360&fps=10&flip=180&transport=udp'.",
    ),
]
FirstMask = Annotated[
    Path | None, typer.Option(help="Objects in the first frame: a mask image, or a folder with one image per object.")
]
Boxes = Annotated[
    list[str] | None, typer.Option(help="Box x,y,width,height around an object, pixels. Repeat the option per object.")
]
Points = Annotated[list[str] | None, typer.Option(help="Point x,y on an object, pixels. Repeat the option per object.")]
Start = Annotated[int, typer.Option(help="Number of the frame in which the objects are marked, from 0.", min=0)]
Json = Annotated[
    Path | None,
    typer.Option(help="File for JSON lines: the objects of each frame and their masks. - is standard output."),
]
Prompts = Annotated[
    Path | None, typer.Option(help="JSON file of objects to add or remove in later frames, by frame number.")
]
Every = Annotated[int, typer.Option(help="Use every n-th frame only.", min=1)]
Loop = Annotated[bool, typer.Option("--loop", help="Start a recording again at its end, until stopped.")]
Duration = Annotated[float | None, typer.Option(help="Stop after this many seconds of running.", min=0.1)]
MaxAge = Annotated[
    float | None,
    typer.Option(help="Oldest result of a live source that is written, seconds since capture.", min=0.0),
]


def parse_prompt(mask: Path | None, box: list[str] | None, point: list[str] | None) -> Prompt:
    """Read the options that mark objects in the first frame.

    Raises
    ------
    BadInput
        If no object is marked, or if a mask is combined with boxes or points.

    Examples
    --------
    >>> parse_prompt(None, ["10,20,30,40"], ["5,6"])
    (None, [(10, 20, 30, 40)], [(5, 6)])
    """
    from ..prompts.first_frame import parse_box, parse_point

    boxes = [parse_box(text) for text in box or []]
    points = [parse_point(text) for text in point or []]
    if mask is None and not boxes and not points:
        raise BadInput("no objects marked; give --mask FILE, --box x,y,width,height or --point x,y")
    if mask is not None and (boxes or points):
        raise BadInput("--mask together with --box or --point; expected one or the other")
    return mask, boxes, points
