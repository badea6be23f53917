"""`shls convert`: results of runs in the formats of other tools."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadInput

if TYPE_CHECKING:
    from ..formats.results import Results


class FormatName(str, Enum):  # Python 3.10 has no StrEnum
    """Names of the formats."""

    COCO = "coco"
    YOUTUBE_VIS = "youtube-vis"
    YOLO = "yolo"
    DAVIS = "davis"
    YOUTUBE_VOS = "youtube-vos"
    MOTS = "mots"
    LABELME = "labelme"
    CVAT = "cvat"
    LABEL_STUDIO = "label-studio"


def convert(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS...",
            help="Results of a run: JSON lines of --json, or the folder of --masks. The folder of `shls batch` stands "
            "for all its finished videos.",
        ),
    ],
    to: Annotated[FormatName, typer.Option(help="Format to write.")],
    out: Annotated[Path, typer.Option(help="Folder to make for the converted files.")],
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Video or folder of images that the results belong to: its frames are written as images, too. Repeat "
            "the option per result, in the same order. By default no images."
        ),
    ] = None,
) -> None:
    """Convert results to COCO, YouTube-VIS, YOLO, DAVIS, YouTube-VOS, MOTS, labelme, CVAT or Label Studio files."""
    from ..formats.convert import check_new
    from ..formats.convert import convert as write

    check_new(out)
    found = [one for path in results for one in _expand(path)]
    write(found, to.value, out, source or ())
    frames = sum(len(one.indices) for one in found)
    typer.echo(f"{len(found)} videos, {frames} frames: {out}")


def _expand(path: Path) -> list[Results]:
    """Open the results of a path; those of all finished videos for the folder of a batch."""
    from ..batch.output_folder import BATCH, finished
    from ..formats.results import read_results

    if not (path / BATCH).is_file():
        return [read_results(path)]
    found = [read_results(path / one.output, one.output) for one in finished(path)]
    if not found:
        raise BadInput(f"{path}: no finished videos (got an empty batch). Run `shls batch` first")
    return found
