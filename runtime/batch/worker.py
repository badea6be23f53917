"""A worker: it keeps its model loaded and runs one task after the other."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .._support.files import replace_file
from ..errors import BadInput, ShlsError
from ..io.objects import ObjectTable
from ..io.playback import Playback
from ..io.sinks import Outputs, SinkGroup, open_sinks
from ..io.sources import open_source
from ..pipeline import Summary, follow
from ..prompts.timeline import Prompter
from ..segmenter import VideoSegmenter
from .keys import task_key
from .marks import Marks
from .output_folder import RESULT, work_folder
from .remote import local_copy
from .tasks import Outcome, Task, Wanted, failure
from .watch import Watcher

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a full disk, which stop the batch."""


def run_task(segmenter: VideoSegmenter, task: Task) -> Outcome:
    """Segment one video. Its folder of results appears whole, or not at all.

    Parameters
    ----------
    segmenter : follows the objects; earlier objects are forgotten
    task : video, prompts and outputs

    Returns
    -------
    Outcome
        `done` or `failed`; an error of the video is a reason, never an exception.

    Examples
    --------
    >>> run_task(segmenter, task).state  # doctest: +SKIP
    'done'
    """
    begun = time.perf_counter()
    try:
        if not task.key:
            key, source = task_key(task.row, task.common)
            task = replace(task, key=key, source=source)
    except (ShlsError, OSError) as error:
        return failure(task, _reason(error))
    work = work_folder(task.out, task.row.output)
    try:
        with local_copy(task.row.video) as video:
            watcher, done = _segment(segmenter, task, video, work)
        _export(task.wanted, work, task.row.output)
        outcome = _outcome(task, watcher, done, time.perf_counter() - begun)
        _complete(work, task, watcher, outcome)
    except (ShlsError, OSError) as error:
        return failure(task, _reason(error), fatal=_disk_full(error))
    except Exception as error:
        return failure(task, f"{type(error).__name__}: {error}", traceback.format_exc())
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return outcome


def open_worker(opened: Callable[[], VideoSegmenter], threads: int) -> VideoSegmenter:
    """Load the model in a process that is one of several, with its share of the cores.

    Examples
    --------
    >>> open_worker(lambda: "a segmenter", threads=1)
    'a segmenter'
    """
    import cv2
    import numba

    cv2.setNumThreads(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))
    return opened()


def _segment(segmenter: VideoSegmenter, task: Task, video: str, work: Path) -> tuple[Watcher, Summary]:
    """Follow the objects through the video; write the outputs into the work folder."""
    marks, table, watcher = Marks(task.row), ObjectTable(), Watcher()
    with Playback(lambda: open_source(video, marks.start), task.wanted.every) as frames:
        if frames.live:
            raise BadInput(f"{video}: is live (expected a recording). Use `shls run` for cameras and streams")
        marks.check(frames.size)
        later = Prompter(marks.later, segmenter, table)
        work.mkdir(parents=True, exist_ok=True)
        with open_sinks(_outputs(task.wanted, work), video, frames.info, (), table) as sink:
            done = follow(
                frames,
                segmenter,
                lambda image: table.add(marks.first(image)),
                SinkGroup([sink, watcher]),
                revise=later,
            )
    if unused := later.unused():
        raise BadInput(f"{task.row.prompt_file}: {unused}")
    return watcher, done


def _outputs(wanted: Wanted, work: Path) -> Outputs:
    return Outputs(
        overlay=work / "overlay.mp4" if wanted.overlay else None,
        masks=work / "masks" if wanted.masks else None,
        json=work / "objects.jsonl",
        cutouts=work / "cutouts" if wanted.cutout else None,
        mask_video=work / "masks.mkv" if wanted.mask_video else None,
    )


def _export(wanted: Wanted, work: Path, name: str) -> None:
    """Convert the results to further formats, each in a place of its own below the work folder."""
    if not wanted.exports:
        return
    from ..formats.convert import convert
    from ..formats.results import read_results

    results = read_results(work / "objects.jsonl", name.rpartition("/")[2])
    for export in wanted.exports:
        convert([results], export, work / export)


def _outcome(task: Task, watcher: Watcher, done: Summary, seconds: float) -> Outcome:
    row = task.row
    worst = watcher.worst or (None, None)
    return Outcome(
        row.output,
        row.video,
        "done",
        task.key,
        digest=watcher.digest,
        frames=done.frames,
        seconds=round(seconds, 3),
        video_seconds=round(watcher.last_time, 3),
        objects=len(watcher.objects),
        worst_frame=worst[0],
        worst_confidence=None if worst[1] is None else round(worst[1], 4),
        lost_frames=watcher.lost_frames,
        damaged=done.damaged,
        source=task.source,
        columns=row.columns,
    )


def _complete(work: Path, task: Task, watcher: Watcher, outcome: Outcome) -> None:
    """Add thumbnails and the record of the result, and move the folder into its place in one step."""
    for name, thumbnail in watcher.thumbnails().items():
        replace_file(work / f"{name}.jpg", thumbnail.jpeg)
    replace_file(work / RESULT, (json.dumps(outcome.to_dict(), indent=1) + "\n").encode())
    task.folder.parent.mkdir(parents=True, exist_ok=True)
    old = work.with_name(work.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if task.folder.exists():  # a result of another key
        os.rename(task.folder, old)
    os.rename(work, task.folder)
    shutil.rmtree(old, ignore_errors=True)


def _reason(error: ShlsError | OSError) -> str:
    if isinstance(error, ShlsError):
        return str(error)
    return f"{error.filename or 'file'}: {error.strerror or error}"


def _disk_full(error: BaseException | None) -> bool:
    """Return whether a full disk is the cause of an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
