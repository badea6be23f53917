"""Arguments and options that `shls run` and `shls serve` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadInput

if TYPE_CHECKING:
    from ..io.objects import NamedMask
    from ..prompts.prompt import Prompt


@dataclass(frozen=True)
class Marks:
    """Objects in the first frame: the file of a mask, or a prompt per object.

    Examples
    --------
    >>> Marks(Path("mask.png")).files
    [PosixPath('mask.png')]
    """

    mask: Path | None = None
    prompts: tuple[Prompt, ...] = ()

    @property
    def files(self) -> list[Path]:
        """Files that are read for the marks, which no output may overwrite."""
        from ..io.masks import split_choice

        named = [self.mask, *(prompt.mask for prompt in self.prompts)]
        return [split_choice(path)[0] for path in named if isinstance(path, Path)]

    def check(self, size: tuple[int, int], frame: int) -> NamedMask | None:
        """Read the mask for frame number `frame` of (H, W), or check the prompts; raise BadInput if they do not fit."""
        from ..io.masks import read_objects

        for prompt in self.prompts:
            prompt.check(size)
            prompt.drawn(size)
        return read_objects(self.mask, size, frame) if self.mask else None


@dataclass(frozen=True)
class Play:
    """Playback of a source; the fields are options of `shls run`.

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


MARKS_PANEL, OUTPUT_PANEL, PLAYBACK_PANEL = "Objects", "Outputs", "Playback"
"""Headings of the help text."""

SourceName = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Video file, folder of images, or pattern of image names ('image_%05d.jpg', 'glob*.png'); "
        "URL of a recording or of a live stream (http, rtsp, rtmp, srt, udp, tcp); "
        "camera (0, /dev/video0, csi://0). Options of a camera follow '?', as in '0?width=1280&height=720': "
        "width, height, fps, codec, flip. Options of a URL follow '#', as in 'rtsp://host/path#fps=10': "
        "width, height, fps, flip, transport, stream.",
    ),
]


def _check_boxes(texts: list[str] | None) -> list[str] | None:
    """Refuse a bad box while options are read: numbers with blanks between them would be surplus arguments later."""
    from ..prompts.prompt import parse_box

    for text in texts or []:
        parse_box(text)
    return texts


def _check_points(texts: list[str] | None) -> list[str] | None:
    from ..prompts.prompt import parse_point

    for text in texts or []:
        parse_point(text)
    return texts


def _check_objects(texts: list[str] | None) -> list[str] | None:
    from ..prompts.prompt import parse_object

    for text in texts or []:
        parse_object(text)
    return texts


FirstMask = Annotated[
    Path | None,
    typer.Option(
        help="Objects in the first frame: a mask image (ids, black and white, one colour per object, or transparency); "
        "a folder with one image per object; COCO or labelme JSON; or JSON lines of an earlier run. "
        "FILE.json#NAME chooses an image of the JSON file, or a frame of the JSON lines.",
        rich_help_panel=MARKS_PANEL,
    ),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        help="Box around an object: x,y,width,height or xyxy:left,top,right,bottom, pixels, with commas and without "
        "blanks. Repeat the option per object.",
        callback=_check_boxes,
        rich_help_panel=MARKS_PANEL,
    ),
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        help="Point x,y on an object, pixels. Repeat the option per object.",
        callback=_check_points,
        rich_help_panel=MARKS_PANEL,
    ),
]
Objects = Annotated[
    list[str] | None,
    typer.Option(
        "--object",
        help="Prompt of one object in one text, as in 'name=dog box=46,62,68,68 point=80,96 not=50,70': its name, "
        "boxes, points on it, points not on it, and mask=FILE to start from. Repeat the option per object.",
        callback=_check_objects,
        rich_help_panel=MARKS_PANEL,
    ),
]
Start = Annotated[
    int,
    typer.Option(
        help="Number of the frame in which the objects are marked, from 0.", min=0, rich_help_panel=MARKS_PANEL
    ),
]
Json = Annotated[
    Path | None,
    typer.Option(
        help="File for JSON lines: the objects of each frame and their masks. - is standard output.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Exports = Annotated[
    list[str] | None,
    typer.Option(
        "--export",
        metavar="FORMAT=FOLDER",
        help="Write another tool's format into a new folder: coco, youtube-vis, yolo, davis, youtube-vos, mots, "
        "labelme, cvat or label-studio. Repeat the option per format.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Prompts = Annotated[
    Path | None,
    typer.Option(
        help="JSON file of objects to add or remove in later frames, by frame number.", rich_help_panel=MARKS_PANEL
    ),
]
Every = Annotated[int, typer.Option(help="Use every n-th frame only.", min=1, rich_help_panel=PLAYBACK_PANEL)]
Loop = Annotated[
    bool,
    typer.Option("--loop", help="Start a recording again at its end, until stopped.", rich_help_panel=PLAYBACK_PANEL),
]
Duration = Annotated[
    float | None, typer.Option(help="Stop after this many seconds of running.", min=0.1, rich_help_panel=PLAYBACK_PANEL)
]
MaxAge = Annotated[
    float | None,
    typer.Option(
        help="Oldest result of a live source that is written, seconds since capture.",
        min=0.0,
        rich_help_panel=PLAYBACK_PANEL,
    ),
]


def parse_marks(
    mask: Path | None, box: list[str] | None = None, point: list[str] | None = None, objects: list[str] | None = None
) -> Marks:
    """Read the options that mark objects in the first frame: boxes first, then points, then objects.

    Raises
    ------
    BadInput
        If no object is marked, if a name is given twice, or if a mask is combined with other options.

    Examples
    --------
    >>> marks = parse_marks(None, ["10,20,30,40"], ["5,6"], ["name=dog point=7,8"])
    >>> [prompt.label for prompt in marks.prompts]
    ['box 10,20,30,40', 'point 5,6', 'dog']
    """
    from ..prompts.prompt import Prompt, parse_box, parse_object, parse_point

    prompts = [Prompt(boxes=(parse_box(text),)) for text in box or []]
    prompts += [Prompt(points=(parse_point(text),)) for text in point or []]
    prompts += [parse_object(text) for text in objects or []]
    if mask is None and not prompts:
        raise BadInput(
            "no objects marked. Give --mask FILE, --box x,y,width,height, --point x,y or --object 'box=... point=...'"
        )
    if mask is not None and prompts:
        raise BadInput(
            "--mask together with --box, --point or --object: one kind is expected. "
            "To correct the mask of one object, give --object 'mask=FILE point=x,y not=x,y'"
        )
    names = [prompt.name for prompt in prompts if prompt.name]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise BadInput(f"--object: the name {twice} is given twice (expected a name per object). Rename one of them")
    return Marks(mask, tuple(prompts))
