"""Outputs of a run, any of them together: opened from names, once no input can be overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput
from ..types import Frame, Mask
from ._output_files import is_stdout, refuse_overwriting
from .base import Sink, StreamInfo
from .folder_sink import CutoutFolderSink, FolderSink, MaskFolderSink, OverlayFolderSink
from .image_files import source_files
from .json_sink import JsonLinesSink
from .objects import ObjectTable
from .video_sink import MaskVideoSink, VideoSink


@dataclass(frozen=True)
class Outputs:
    """Names of what a run writes; None leaves an output out.

    Attributes
    ----------
    overlay : Path or None
        Frames with their objects coloured: a video whose suffix chooses its kind (`VideoSink`), or a folder of images.
        A name without a suffix is a folder, and so is a folder that exists.
    masks : Path or None
        Folder of palette masks, one PNG per frame.
    json : Path or None
        JSON lines; `-` is standard output.
    cutouts : Path or None
        Folder of cut-out objects, one RGBA PNG per frame.
    mask_video : Path or None
        Lossless video of the masks, .mkv.
    sound : bool
        Copy the source's sound into the overlay video.

    Examples
    --------
    >>> Outputs(masks=Path("masks"), json=Path("-")).names
    ['masks', 'standard output']
    """

    overlay: Path | None = None
    masks: Path | None = None
    json: Path | None = None
    cutouts: Path | None = None
    mask_video: Path | None = None
    sound: bool = False

    @property
    def names(self) -> list[str]:
        """Names of the outputs that are wanted, for messages."""
        paths = (self.overlay, self.masks, self.json, self.cutouts, self.mask_video)
        return ["standard output" if is_stdout(path) else str(path) for path in paths if path]

    @property
    def to_stdout(self) -> bool:
        """JSON lines go to standard output, so messages must not."""
        return self.json is not None and is_stdout(self.json)

    @property
    def _overlay_folder(self) -> Path | None:
        folder = self.overlay is not None and (self.overlay.is_dir() or not self.overlay.suffix)
        return self.overlay if folder else None

    @property
    def _overlay_video(self) -> Path | None:
        return None if self._overlay_folder else self.overlay

    def _files(self) -> list[Path]:
        json = None if self.to_stdout else self.json
        return [path for path in (self._overlay_video, json, self.mask_video) if path]

    def _folders(self) -> list[tuple[Path, type[FolderSink]]]:
        kinds = (
            (self._overlay_folder, OverlayFolderSink),
            (self.masks, MaskFolderSink),
            (self.cutouts, CutoutFolderSink),
        )
        return [(path, kind) for path, kind in kinds if path]


class NullSink(Sink):
    """Take results and write nothing: for measuring.

    Examples
    --------
    >>> import numpy as np
    >>> with NullSink() as sink:
    ...     sink.write(Frame(np.zeros((2, 3, 3), np.uint8), 0, 0.0, "0"), Mask(np.zeros((2, 3), np.uint8), {}))
    """

    def write(self, frame: Frame, mask: Mask) -> None:
        pass


class SinkGroup(Sink):
    """Several sinks as one.

    Examples
    --------
    >>> with SinkGroup([NullSink(), NullSink()]) as group:
    ...     group.close()
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def write(self, frame: Frame, mask: Mask) -> None:
        for sink in self._sinks:
            sink.write(frame, mask)

    def close(self) -> None:
        with ExitStack() as stack:  # a sink that fails does not keep the others open
            for sink in self._sinks:
                stack.callback(sink.close)


def open_sinks(
    outputs: Outputs,
    source_uri: str,
    info: StreamInfo,
    protect: Iterable[Path] = (),
    objects: ObjectTable | None = None,
) -> Sink:
    """Open the sinks for a source, once no input can be overwritten.

    Parameters
    ----------
    outputs : Outputs
        Names of files and folders. Earlier files are replaced when the first frame is written.
    source_uri : str
        Source of the frames, as `open_source` takes it.
    info : StreamInfo
        Properties of the source.
    protect : iterable of Path
        Other files and folders that were read, such as the first mask.
    objects : ObjectTable
        Names and original ids of the objects, for the JSON lines.

    Returns
    -------
    Sink
        All outputs as one sink.

    Raises
    ------
    BadInput
        If an output would overwrite an input or another output, or cannot be written.

    Examples
    --------
    >>> open_sinks(Outputs(), "csi://0", StreamInfo((480, 854), 30.0))
    <...NullSink object at ...>
    """
    folders = outputs._folders()
    inputs = [*source_files(source_uri)]
    for path in protect:
        inputs += path.iterdir() if path.is_dir() else [path]
    refuse_overwriting(inputs, outputs._files(), [(path, kind.suffix) for path, kind in folders])
    if outputs.sound and not outputs._overlay_video:
        raise BadInput("--sound: sound is copied into the overlay video only. Give a video's name with --out.")
    with ExitStack() as opened:
        sinks: list[Sink] = []
        if video := outputs._overlay_video:
            sinks.append(opened.enter_context(VideoSink(video, info, sound=outputs.sound)))
        if outputs.mask_video:
            sinks.append(opened.enter_context(MaskVideoSink(outputs.mask_video, info)))
        sinks += [opened.enter_context(kind(path)) for path, kind in folders]
        if outputs.json:
            sinks.append(opened.enter_context(JsonLinesSink(outputs.json, objects)))
        opened.pop_all()
    return SinkGroup(sinks) if sinks else NullSink()
