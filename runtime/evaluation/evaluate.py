"""J&F of a segmenter on a folder in the layout of DAVIS, by the semi-supervised protocol."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from .._support.files import replace_file, sha256_of
from .._support.stopwatch import Stopwatch
from ..errors import BadInput
from ..io.masks import write_mask
from ..types import Mask
from .davis import SequenceFiles, find_sequences
from .metrics import Score, object_ids
from .readings import FORWARD, Clip, read_as
from .report import Report, Result
from .scoring import Presence, SequenceScorer


class _Job(NamedTuple):
    """Settings for each sequence, sent to other processes."""

    open_segmenter: Callable[[], Segmenter]
    reading: str
    out: Path | None
    key: str

    def digest(self, sequence: SequenceFiles) -> str:
        """Digest what a result depends on: key, reading, and names, sizes and times of the files."""
        digest = hashlib.sha256(f"{self.key} {self.reading}\n".encode())
        for path in [*sequence.files, *sequence.truths.values()]:
            state = path.stat()
            digest.update(f"{path.name} {state.st_size} {state.st_mtime_ns}\n".encode())
        return digest.hexdigest()


class Segmenter(Protocol):
    """Interface of a segmenter to evaluate; see `shls.runtime.segmenter.VideoSegmenter`."""

    def start(self, image: np.ndarray, mask: np.ndarray) -> None: ...
    def step(self, image: np.ndarray) -> Mask: ...
    def add(self, mask: np.ndarray) -> Mask: ...


def evaluate(
    root: Path,
    set_file: Path,
    open_segmenter: Callable[[], Segmenter],
    *,
    reading: str = FORWARD,
    jobs: int = 1,
    out: Path | None = None,
    key: str = "",
    progress: Callable[[Result, int, int], None] | None = None,
) -> Report:
    """Segment the sequences of a set and score the masks.

    Each object is marked in the frame of its first annotation and scored in later annotated frames. A sequence with
    fewer than 3 annotations, or with annotations of new objects only, is segmented but not scored.

    Parameters
    ----------
    root : Path
        Folder with JPEGImages and Annotations, see `shls.runtime.evaluation.davis.find_sequences`.
    set_file : Path
        Text file with one sequence name per line.
    open_segmenter : callable
        Returns a segmenter; called for each sequence. With more than one job it is sent to other processes: a function
        of a module, or a `functools.partial` of one.
    reading : str
        Name of one of `shls.runtime.evaluation.readings.READINGS`.
    jobs : int
        Number of sequences that run in parallel, each in a process of its own.
    out : Path, optional
        Folder that keeps the predictions (SEQUENCE/NAME.png, as the tools of the benchmarks read them) and the scores
        (SEQUENCE.json), below a folder with the reading's name unless it is `forward`. Kept scores are not computed
        again. Predictions have the size and orientation of the reading.
    key : str
        Identifies what the predictions depend on besides the data, see `result_key`. Results of another key are
        replaced.
    progress : callable, optional
        Called with each result, the number of results so far, and the number of all. Kept results come first.

    Returns
    -------
    Report

    Raises
    ------
    BadInput
        If a sequence is missing, an image or an annotation cannot be used, or nothing can be scored or written.

    Examples
    --------
    >>> from shls.runtime.segmenter import open_segmenter
    >>> report = evaluate(Path("DAVIS"), Path("DAVIS/set.txt"), open_segmenter)  # doctest: +SKIP
    >>> report.mean()  # doctest: +SKIP
    Score(j=0.856, f=0.852)
    """
    sequences = find_sequences(root, set_file)
    if out is None and all(len(sequence.truths) < 3 for sequence in sequences):
        raise BadInput(
            f"{set_file}: nothing can be scored (got at most 2 annotations per sequence, expected at least 3). Give a "
            "folder for the predictions"
        )
    if out is not None and reading != FORWARD:
        out = out / reading
    job = _Job(open_segmenter, reading, out, key)
    results: dict[str, Result] = {}

    def add(result: Result) -> None:
        results[result.name] = result
        if progress:
            progress(result, len(results), len(sequences))

    missing = []
    for sequence in sequences:
        kept = _kept(sequence, job)
        if kept:
            add(kept)
        else:
            missing.append(sequence)
    for result in _compute(missing, job, jobs):
        add(result)
    return Report([results[sequence.name] for sequence in sequences])


def result_key(model: Path, refiner: Path | None = None, **settings: object) -> str:
    """Return a key that changes with the networks, the settings, and the code and networks of this package.

    Parameters
    ----------
    model : Path
        ONNX file of the embedding.
    refiner : Path, optional
        ONNX file of the refiner, unless a shipped one is used.
    settings : object
        Further settings; each must have a text form that is the same in every run.

    Raises
    ------
    BadInput
        If a file cannot be read.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> result_key(SHIPPED_MODEL, refined=True) == result_key(SHIPPED_MODEL, refined=False)
    False
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    package = Path(__file__).parents[1]
    named = [file for file in (model, refiner) if file is not None]
    for file in [*named, *sorted(package.rglob("*.py")), *sorted(package.rglob("*.onnx"))]:
        digest.update(f"{len(named)} {sha256_of(file)}\n".encode())
    return digest.hexdigest()


def _compute(sequences: list[SequenceFiles], job: _Job, jobs: int) -> Iterator[Result]:
    """Yield results as they are finished."""
    if min(jobs, len(sequences)) <= 1:
        for sequence in sequences:
            yield _run(job, sequence)
        return
    # Spawned, not forked: inference engines and OpenCV's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(min(jobs, len(sequences)), context, initializer=_be_one_of_several) as pool:
        try:
            for future in as_completed([pool.submit(_run, job, sequence) for sequence in sequences]):
                yield future.result()
        except BrokenProcessPool as error:
            raise BadInput(
                f"one of {jobs} processes was ended from outside, as happens when memory runs out; "
                "run again with fewer jobs"
            ) from error
        except BaseException:  # Ctrl-C too: do not finish what nobody waits for
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in set(multiprocessing.active_children()) - before:
                worker.terminate()
            raise


def _be_one_of_several() -> None:
    """Leave the other cores to the others, and Ctrl-C to the parent."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(job: _Job, sequence: SequenceFiles) -> Result:
    """Segment and score a sequence; keep predictions and scores where there is a folder for them."""
    folder = None if job.out is None else _make_room(job.out, sequence.name)
    stopwatch, scorer = Stopwatch(), SequenceScorer()
    clip = read_as(sequence, job.reading)
    for labels, truth in _predict(clip, job.open_segmenter(), stopwatch, folder):
        scorer.add(labels, truth)
    scores, notes = {}, list(clip.notes)
    if scorer.scorable:
        scores = scorer.scores()
        notes += [f"object {k} is first annotated in the last two annotations: not scored" for k in scorer.unscored]
    else:
        notes.append(f"predicted only: {len(clip.truths)} annotations, of which none can be compared")
    presence = {k: scorer.presence[k] for k in scores}
    seconds = stopwatch.medians().get("step", 0)
    result = Result(sequence.name, scores, presence, 1000 / seconds if seconds else 0.0, tuple(notes))
    if folder is not None:
        _keep(result, folder, job.digest(sequence))
    return result


def _predict(
    clip: Clip, segmenter: Segmenter, stopwatch: Stopwatch, folder: Path | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Segment every frame; yield the (H, W) labels of annotated frames, and their annotations."""
    known: set[int] = set()
    for frame in clip.frames():
        truth = clip.truth(frame.index) if frame.index in clip.truths else None
        new = set() if truth is None else set(object_ids(truth)) - known
        if frame.index == 0 and truth is not None:
            segmenter.start(frame.image, truth)
            labels = truth
        else:
            with stopwatch.time("step"):
                labels = segmenter.step(frame.image).labels
            if truth is not None and new:  # an object is marked in the frame of its first annotation
                labels = segmenter.add(np.where(np.isin(truth, list(new)), truth, 0).astype(np.uint8)).labels
        known |= new
        if folder is not None:
            write_mask(folder / f"{frame.name}.png", labels)
        if truth is not None:
            yield labels, truth


def _make_room(out: Path, name: str) -> Path:
    """Make the folder of a sequence's predictions; scores that are there belong to others."""
    folder = out / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _scores_file(folder).unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
    return folder


def _scores_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _keep(result: Result, folder: Path, digest: str) -> None:
    """Write scores beside the folder of predictions, whole."""
    kept = {
        "digest": digest,
        "fps": result.fps,
        "objects": result.scores,
        "presence": result.presence,
        "notes": result.notes,
    }
    replace_file(_scores_file(folder), json.dumps(kept).encode())


def _kept(sequence: SequenceFiles, job: _Job) -> Result | None:
    """Read the scores that an earlier run with the same key and reading kept of the same files."""
    if job.out is None:
        return None
    try:
        kept = json.loads(_scores_file(job.out / sequence.name).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("digest") != job.digest(sequence):
        return None
    scores = {int(k): Score(*score) for k, score in kept["objects"].items()}
    presence = {int(k): Presence(*counts) for k, counts in kept["presence"].items()}
    return Result(sequence.name, scores, presence, kept["fps"], tuple(kept["notes"]))
