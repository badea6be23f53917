"""J&F of a segmenter on a folder in the layout of DAVIS, by the semi-supervised protocol."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from .._support.files import replace_file
from .._support.stopwatch import Stopwatch
from ..errors import BadInput
from ..io.base import Source
from ..io.image_files import source_files
from ..io.masks import read_mask, write_mask
from ..io.sources import open_source
from ..types import Mask
from .davis import SequenceFiles, find_sequences, read_truth
from .metrics import Score, sequence_scores


class Segmenter(Protocol):
    """What is evaluated; see `shls.runtime.segmenter`."""

    def start(self, image: np.ndarray, mask: np.ndarray) -> None: ...
    def step(self, image: np.ndarray) -> Mask: ...


class Result(NamedTuple):
    """Scores of one sequence. fps: of segmentation alone, from the median time of a frame."""

    name: str
    scores: dict[int, Score]
    fps: float


class Report(NamedTuple):
    """Results in the order of the set file."""

    results: list[Result]

    def mean(self) -> Score:
        """Mean over all objects of all sequences, as DAVIS 2017 does; each object weighs the same."""
        return _mean(score for result in self.results for score in result.scores.values())

    def to_dict(self) -> dict[str, object]:
        """Return what `shls eval --json` writes."""
        return {
            "mean": _rounded(self.mean()),
            "sequences": {
                result.name: _rounded(_mean(result.scores.values()))
                | {
                    "fps": round(result.fps, 2),
                    "objects": {str(k): _rounded(score) for k, score in result.scores.items()},
                }
                for result in self.results
            },
        }

    def table(self) -> str:
        """Return a row per sequence and one for the mean, for people."""
        width = max(len("sequence"), *(len(result.name) for result in self.results))
        lines = [f"{'sequence':{width}}  objects      J      F    J&F  frames/s"]
        for name, scores, fps in self.results:
            lines.append(f"{name:{width}}  {len(scores):7}  {_columns(_mean(scores.values()))}  {fps:8.1f}")
        objects = sum(len(result.scores) for result in self.results)
        fps = fmean(result.fps for result in self.results)
        lines.append(f"{'mean':{width}}  {objects:7}  {_columns(self.mean())}  {fps:8.1f}")
        return "\n".join(lines)


def evaluate(
    root: Path,
    set_file: Path,
    open_segmenter: Callable[[], Segmenter],
    *,
    jobs: int = 1,
    out: Path | None = None,
    key: str = "",
    progress: Callable[[Result, int, int], None] | None = None,
) -> Report:
    """Segment the sequences of a set from their first annotation on, and score them.

    Parameters
    ----------
    root : folder with JPEGImages/480p/SEQUENCE and Annotations/480p/SEQUENCE; in place of 480p any other
        name, if it is the only one
    set_file : text file with a sequence's name on each line
    open_segmenter : makes a segmenter; called for each sequence. With more than one job it is sent to other
        processes: a module's function, or a `functools.partial` of one
    jobs : sequences at a time, each in a process of its own
    out : folder that keeps the predictions (SEQUENCE/NAME.png, which the benchmark's own tools can read) and
        the scores (SEQUENCE.json); what is there already is not computed again
    key : what the predictions depend on besides the data, see `result_key`; what another key left is replaced
    progress : called with each result, the number of results so far, and of all; the first may be kept ones

    Raises
    ------
    BadInput
        If a folder, a sequence, an image or an annotation is missing or cannot be used.
    """
    sequences = find_sequences(root, set_file)
    results: dict[str, Result] = {}

    def add(result: Result) -> None:
        results[result.name] = result
        if progress:
            progress(result, len(results), len(sequences))

    missing = []
    for sequence in sequences:
        kept = _kept(sequence, out, key)
        if kept:
            add(kept)
        else:
            missing.append(sequence)
    for result in _compute(missing, open_segmenter, jobs, out, key):
        add(result)
    return Report([results[sequence.name] for sequence in sequences])


def result_key(model: Path, **settings: object) -> str:
    """Make a key that changes with the model, the settings and this package's code."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for file in [model, *sorted(Path(__file__).parents[1].rglob("*.py"))]:
        try:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            raise BadInput(f"{file}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def _compute(
    sequences: list[SequenceFiles],
    open_segmenter: Callable[[], Segmenter],
    jobs: int,
    out: Path | None,
    key: str,
) -> Iterator[Result]:
    """Yield results as they come."""
    if min(jobs, len(sequences)) <= 1:
        for sequence in sequences:
            yield _run(sequence, open_segmenter, out, key)
        return
    # Spawned, not forked: inference engines and OpenCV's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(min(jobs, len(sequences)), context, initializer=_be_one_of_several) as pool:
        try:
            for future in as_completed(
                [pool.submit(_run, sequence, open_segmenter, out, key) for sequence in sequences]
            ):
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


def _run(sequence: SequenceFiles, open_segmenter: Callable[[], Segmenter], out: Path | None, key: str) -> Result:
    """Segment and score a sequence; keep predictions and scores where there is a folder for them."""
    folder = None if out is None else _make_room(out, sequence.name)
    stopwatch = Stopwatch()
    with open_source(str(sequence.images), min(sequence.truths)) as source:
        truths = (read_truth(path, source.size) for path in sequence.truths.values())
        predictions = _predict(source, sequence, open_segmenter(), stopwatch, folder)
        scores = sequence_scores(predictions, truths)
    result = Result(sequence.name, scores, 1000 / stopwatch.medians()["step"])
    if folder is not None:
        _keep(result, folder, _digest(sequence, key))
    return result


def _predict(
    source: Source, sequence: SequenceFiles, segmenter: Segmenter, stopwatch: Stopwatch, folder: Path | None
) -> Iterator[np.ndarray]:
    """Segment every frame, yield the (H, W) labels of those that have a truth."""
    labels = read_mask(sequence.truths[min(sequence.truths)], source.size)
    for number, frame in enumerate(source):
        if number == 0:
            segmenter.start(frame.image, labels)
        else:
            with stopwatch.time("step"):
                labels = segmenter.step(frame.image).labels
        if folder is not None:
            write_mask(folder / f"{frame.name}.png", labels)
        if frame.index in sequence.truths:
            yield labels


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
    kept = {"digest": digest, "fps": result.fps, "objects": result.scores}
    replace_file(_scores_file(folder), json.dumps(kept).encode())


def _kept(sequence: SequenceFiles, out: Path | None, key: str) -> Result | None:
    """Read the scores that an earlier run with the same key kept of the same files."""
    if out is None:
        return None
    try:
        kept = json.loads(_scores_file(out / sequence.name).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("digest") != _digest(sequence, key):
        return None
    return Result(sequence.name, {int(k): Score(*score) for k, score in kept["objects"].items()}, kept["fps"])


def _digest(sequence: SequenceFiles, key: str) -> str:
    """Sum up what a result depends on: the key, and names, sizes and times of the sequence's files."""
    digest = hashlib.sha256(key.encode())
    for path in [*source_files(str(sequence.images)), *sequence.truths.values()]:
        state = path.stat()
        digest.update(f"{path.name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _mean(scores: Iterable[Score]) -> Score:
    return Score(*(fmean(values) for values in zip(*scores, strict=True)))


def _columns(score: Score) -> str:
    return f"{score.j:.3f}  {score.f:.3f}  {(score.j + score.f) / 2:.3f}"


def _rounded(score: Score) -> dict[str, float]:
    return {"J": round(score.j, 6), "F": round(score.f, 6), "J&F": round((score.j + score.f) / 2, 6)}
