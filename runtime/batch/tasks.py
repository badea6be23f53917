"""One task of a batch and its outcome: plain values that travel between processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..prompts.prompt import Prompt


@dataclass(frozen=True)
class Row:
    """One video of a batch and the objects to follow, as the manifest has them.

    Attributes
    ----------
    where : place of the row for messages, such as `list.csv, line 3`
    video : source as `shls run` takes it, or a URL of fsspec
    output : name of the folder of results below the output folder; may contain `/`
    mask : mask file of the first frame
    prompts : one prompt per object, in place of a mask
    prompt_file : JSON file of prompts by frame; its first frame marks the objects unless a mask or prompts do
    start : number of the frame in which the objects are marked
    columns : further columns of the manifest, passed through to the summary

    Examples
    --------
    >>> Row("list.csv, line 2", "a.mp4", "a").columns
    {}
    """

    where: str
    video: str
    output: str
    mask: Path | None = None
    prompts: tuple[Prompt, ...] = ()
    prompt_file: Path | None = None
    start: int = 0
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Outputs of each task besides `objects.jsonl`, which is always written.

    Attributes
    ----------
    masks, overlay, cutout, mask_video : further outputs of `shls run`
    exports : names of formats, see `shls.runtime.formats.FORMATS`
    every : step; every n-th frame is used

    Examples
    --------
    >>> Wanted(masks=True).every
    1
    """

    masks: bool = False
    overlay: bool = False
    cutout: bool = False
    mask_video: bool = False
    exports: tuple[str, ...] = ()
    every: int = 1


@dataclass(frozen=True)
class Task:
    """A row that has to be computed.

    Attributes
    ----------
    row : video and prompts
    key : content key of the result, see `shls.runtime.batch.keys`; empty if the worker has to compute the key
    source : what the key was computed from, kept with the result so that a later run need not read the video again
    out : folder of the batch
    wanted : outputs
    common : what all results of the batch have in common, see `shls.runtime.batch.keys.fingerprint`

    Examples
    --------
    >>> Task(Row("", "a.mp4", "night/a"), "0" * 64, {}, Path("out"), Wanted()).folder
    PosixPath('out/night/a')
    """

    row: Row
    key: str
    source: dict[str, Any]
    out: Path
    wanted: Wanted
    common: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of the finished result."""
        return self.out / self.row.output


@dataclass(frozen=True)
class Outcome:
    """Result of a task: figures of the video, or the reason of a failure.

    Attributes
    ----------
    output : name of the folder of results
    video : source
    state : `done`, `kept` (finished by an earlier run) or `failed`
    key : content key
    reason : one line about the failure; empty otherwise
    details : traceback of a failure that is a defect of the software
    fatal : no other task can succeed either, for example because the disk is full
    digest : SHA-256 of all masks and confidences; equal for equal results
    frames : segmented frames
    seconds : seconds that the task took
    video_seconds : duration of the video, seconds
    objects : number of objects
    worst_frame : number of the frame with the lowest mean confidence
    worst_confidence : mean confidence of the objects in this frame, 0 to 1
    lost_frames : number of frames in which at least one object is not visible
    damaged : frames that the decoder reported as damaged
    source : see `Task`
    columns : further columns of the manifest

    Examples
    --------
    >>> Outcome("a", "a.mp4", "failed", reason="a.mp4: no such file").frames
    0
    """

    output: str
    video: str
    state: str
    key: str = ""
    reason: str = ""
    details: str = ""
    fatal: bool = False
    digest: str = ""
    frames: int = 0
    seconds: float = 0.0
    video_seconds: float = 0.0
    objects: int = 0
    worst_frame: int | None = None
    worst_confidence: float | None = None
    lost_frames: int = 0
    damaged: int = 0
    source: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON values.

        Examples
        --------
        >>> Outcome("a", "a.mp4", "done").to_dict()["state"]
        'done'
        """
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Outcome:
        """Read an outcome from JSON values; keys of another version are left out.

        Examples
        --------
        >>> Outcome.from_dict({"output": "a", "video": "a.mp4", "state": "done", "colour": 1}).state
        'done'
        """
        known = Outcome.__dataclass_fields__
        return Outcome(**{key: value for key, value in values.items() if key in known})


def failure(task: Task, reason: str, details: str = "", fatal: bool = False) -> Outcome:
    """Return the outcome of a task that failed; only the first line of the reason is kept.

    Examples
    --------
    >>> task = Task(Row("", "a.mp4", "a"), "00", {}, Path("out"), Wanted())
    >>> failure(task, "a.mp4: no video").reason
    'a.mp4: no video'
    """
    line = reason.strip().splitlines()[0] if reason.strip() else "no reason given"
    row = task.row
    return Outcome(row.output, row.video, "failed", task.key, line, details, fatal, columns=row.columns)
