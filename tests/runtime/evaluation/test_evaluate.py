"""Evaluation on a small drawn dataset: protocol, kept results, processes, and what can be missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.evaluation.evaluate import evaluate, result_key
from shls.runtime.evaluation.metrics import Score
from shls.runtime.evaluation.report import Report
from shls.runtime.io.masks import read_mask, write_mask

SIZE = (60, 80)
COLOURS = np.array([[40, 90, 40], [220, 60, 60], [60, 60, 220], [230, 230, 80]], np.uint8)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> object:
    """Import the fake segmenters under a name that spawned processes find, too."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    import fake_segmenters

    return fake_segmenters


def labels_at(time: int, objects: int) -> np.ndarray:
    """Draw squares of 16 pixels, each in a row of its own, that move by 2 a frame to the right."""
    labels = np.zeros(SIZE, np.uint8)
    for k in range(objects):
        labels[2 + 19 * k : 18 + 19 * k, 4 + 2 * time : 20 + 2 * time] = k + 1
    return labels


def write_sequence(root: Path, name: str, frames: list[np.ndarray]) -> None:
    images, annotations = (root / kind / "480p" / name for kind in ["JPEGImages", "Annotations"])
    images.mkdir(parents=True)
    annotations.mkdir(parents=True)
    for index, labels in enumerate(frames):
        cv2.imwrite(str(images / f"{index:05d}.png"), COLOURS[labels][..., ::-1])
        write_mask(annotations / f"{index:05d}.png", labels)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three sequences of one, two and three objects; the list names them against the alphabet."""
    root = tmp_path / "davis"
    for name, objects in [("one", 1), ("two", 2), ("three", 3)]:
        write_sequence(root, name, [labels_at(time, objects) for time in range(5)])
    (root / "set.txt").write_text("two\none\n\nthree\n")
    return root


def run(root: Path, opener: Callable, **options: object) -> Report:
    return evaluate(root, root / "set.txt", opener, **options)  # type: ignore[arg-type]


def test_perfect_segmenter(root: Path, fakes) -> None:
    report = run(root, fakes.ByColour)
    assert [result.name for result in report.results] == ["two", "one", "three"]
    assert [list(result.scores) for result in report.results] == [[1, 2], [1], [1, 2, 3]]
    assert report.mean() == Score(1, 1)


def test_scores_by_hand(root: Path, fakes) -> None:
    # The mask stays, the truth moves by 2 pixels a frame: frames 1, 2 and 3 of 0..4 count.
    report = run(root, fakes.Stays)
    expected = np.mean([(16 - moved) / (16 + moved) for moved in (2, 4, 6)])
    assert report.results[1].scores[1].j == pytest.approx(expected)


@pytest.mark.parametrize("opener", ["ByColour", "Stays"])
def test_a_late_object_is_marked_where_it_is_first_annotated(tmp_path: Path, fakes, opener: str) -> None:
    counts = [1, 1, 2, 2, 2, 2]
    write_sequence(tmp_path, "late", [labels_at(time, objects) for time, objects in enumerate(counts)])
    (tmp_path / "set.txt").write_text("late")
    scores = run(tmp_path, getattr(fakes, opener), out=tmp_path / "out").results[0].scores
    assert sorted(scores) == [1, 2]
    marked = read_mask(tmp_path / "out/late/00002.png", SIZE)
    assert (marked == 2).sum() == 16 * 16
    moved = [0, 0] if opener == "ByColour" else [2, 4]  # of the last frames, frame 5 does not count
    assert scores[2].j == pytest.approx(np.mean([(16 - by) / (16 + by) for by in moved]))


def test_object_may_be_gone(tmp_path: Path, fakes) -> None:
    write_sequence(tmp_path, "gone", [labels_at(0, 1), labels_at(1, 1), labels_at(0, 0), labels_at(0, 0)])
    (tmp_path / "set.txt").write_text("gone")
    assert run(tmp_path, fakes.ByColour).mean() == Score(1, 1)
    assert run(tmp_path, fakes.Stays).mean().j == pytest.approx((14 / 18 + 0) / 2)


def test_starts_at_the_first_annotation(root: Path, fakes) -> None:
    for index in (0, 2):
        (root / f"Annotations/480p/one/{index:05d}.png").unlink()
    (root / "set.txt").write_text("one")
    # Frames 1, 3 and 4 have a truth, of which 3 counts: the mask of frame 1 is 4 pixels behind there.
    assert run(root, fakes.Stays).mean().j == pytest.approx(12 / 20)


def test_predictions_and_scores_are_kept(root: Path, tmp_path: Path, fakes) -> None:
    out = tmp_path / "out"
    log = tmp_path / "log"
    first = run(root, partial(fakes.by_colour, log), out=out, key="a")
    assert len(log.read_text().splitlines()) == 3
    for name in ["one", "two", "three"]:
        assert [path.name for path in sorted((out / name).iterdir())] == [f"{k:05d}.png" for k in range(5)]
    assert (read_mask(out / "three/00004.png", SIZE) == labels_at(4, 3)).all()

    assert run(root, fakes.fails, out=out, key="a") == first
    (out / "two.json").unlink()
    assert run(root, partial(fakes.by_colour, log), out=out, key="a").mean() == first.mean()
    assert len(log.read_text().splitlines()) == 4


def test_kept_scores_of_something_else_are_not_used(root: Path, tmp_path: Path, fakes) -> None:
    out = tmp_path / "out"
    run(root, fakes.Stays, out=out, key="a")
    assert run(root, fakes.ByColour, out=out, key="b").mean() == Score(1, 1)

    write_mask(root / "Annotations/480p/one/00002.png", labels_at(0, 0))
    changed = run(root, fakes.ByColour, out=out, key="b").results
    assert [result.scores[1].j == 1 for result in changed] == [True, False, True]

    (out / "one.json").write_text("{")
    assert run(root, fakes.ByColour, out=out, key="b").results[1].scores == changed[1].scores


def test_a_stopped_run_leaves_no_scores_of_another(root: Path, tmp_path: Path, fakes) -> None:
    out = tmp_path / "out"
    run(root, fakes.ByColour, out=out, key="a")
    with pytest.raises(AssertionError):
        run(root, fakes.fails, out=out, key="b")
    assert not (out / "two.json").exists()
    assert (out / "one.json").exists()


def test_several_processes(root: Path, tmp_path: Path, fakes) -> None:
    log = tmp_path / "log"
    seen: list[tuple[str, int, int]] = []
    report = run(
        root,
        partial(fakes.by_colour, log),
        jobs=2,
        out=tmp_path / "out",
        progress=lambda result, done, total: seen.append((result.name, done, total)),
    )
    assert [result.name for result in report.results] == ["two", "one", "three"]
    assert report.mean() == Score(1, 1)
    assert str(os.getpid()) not in log.read_text().split()
    assert {name for name, _, _ in seen} == {"one", "two", "three"}
    assert [counts for _, *counts in seen] == [[1, 3], [2, 3], [3, 3]]


def test_errors_come_back_from_processes(root: Path, fakes) -> None:
    (root / "JPEGImages/480p/two/00001.png").write_bytes(b"")
    with pytest.raises(BadInput, match=r"00001\.png: not a readable image"):
        run(root, fakes.ByColour, jobs=2)


def test_a_process_that_is_killed(root: Path, fakes) -> None:
    with pytest.raises(BadInput, match="run again with fewer jobs"):
        run(root, fakes.dies, jobs=2)


def test_an_empty_first_annotation_is_skipped(root: Path, fakes) -> None:
    write_mask(root / "Annotations/480p/one/00000.png", labels_at(0, 0))
    result = run(root, fakes.Stays).results[1]
    assert result.scores[1].j == pytest.approx(np.mean([14 / 18, 12 / 20]))  # begins in frame 1
    assert result.notes == ("1 annotations before the first object are skipped",)
    for index in range(5):
        write_mask(root / f"Annotations/480p/one/{index:05d}.png", labels_at(0, 0))
    with pytest.raises(BadInput, match="sequence one: no annotation has an object"):
        run(root, fakes.Stays)


def test_a_sequence_of_which_one_frame_is_annotated_is_predicted_only(root: Path, tmp_path: Path, fakes) -> None:
    for index in range(1, 5):
        (root / f"Annotations/480p/two/{index:05d}.png").unlink()
    out = tmp_path / "out"
    report = run(root, fakes.ByColour, out=out)
    assert report.results[0].scores == {}
    assert report.results[0].notes == ("predicted only: 1 annotations, of which none can be compared",)
    assert report.mean() == Score(1, 1)
    assert len(list((out / "two").iterdir())) == 5
    assert run(root, fakes.fails, out=out) == report

    (root / "set.txt").write_text("two")
    with pytest.raises(BadInput, match=r"nothing can be scored.*Give a folder for the predictions"):
        run(root, fakes.ByColour)
    alone = run(root, fakes.ByColour, out=out)
    with pytest.raises(BadInput, match="no object was scored"):
        alone.mean()


def test_annotations_of_new_objects_only_are_not_scored(tmp_path: Path, fakes) -> None:
    """Test sets of YouTube-VOS annotate each object once, in its first frame."""
    write_sequence(tmp_path, "test", [labels_at(time, 3) for time in range(6)])
    for index in range(6):
        path = tmp_path / f"Annotations/480p/test/{index:05d}.png"
        labels = labels_at(index, 3)
        if index % 2:
            path.unlink()
        else:
            write_mask(path, np.where(labels == index // 2 + 1, labels, 0).astype(np.uint8))
    (tmp_path / "set.txt").write_text("test")
    (result,) = run(tmp_path, fakes.ByColour, out=tmp_path / "out").results
    assert result.scores == {}
    assert result.notes == ("predicted only: 3 annotations, of which none can be compared",)
    assert (read_mask(tmp_path / "out/test/00005.png", SIZE) == labels_at(5, 3)).all()


def test_an_object_of_the_last_annotations_is_said(tmp_path: Path, fakes) -> None:
    write_sequence(tmp_path, "late", [labels_at(time, 1 + (time > 3)) for time in range(5)])
    (tmp_path / "set.txt").write_text("late")
    (result,) = run(tmp_path, fakes.ByColour).results
    assert list(result.scores) == [1]
    assert result.notes == ("object 2 is first annotated in the last two annotations: not scored",)


def test_an_object_that_a_reading_loses(tmp_path: Path, fakes) -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[10, 10:30] = 1
    write_sequence(tmp_path, "thin", [labels] * 5)
    (tmp_path / "set.txt").write_text("thin")
    assert run(tmp_path, fakes.Stays).mean().j == 1
    with pytest.raises(BadInput, match="no annotation has an object in the reading half"):
        run(tmp_path, fakes.Stays, reading="half")


def test_out_that_cannot_be_written(root: Path, tmp_path: Path, fakes) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be written"):
        run(root, fakes.ByColour, out=tmp_path / "file")


def test_kept_scores_of_another_reading_are_not_used(root: Path, tmp_path: Path, fakes) -> None:
    out = tmp_path / "out"
    forward = run(root, fakes.Stays, out=out, key="a")
    skipped = run(root, fakes.Stays, out=out, key="a", reading="every2")
    assert skipped.mean().j < forward.mean().j
    assert [path.name for path in sorted((out / "every2/one").iterdir())] == ["00000.png", "00002.png", "00004.png"]
    (out / "every2/one.json").write_bytes((out / "one.json").read_bytes())
    assert run(root, fakes.Stays, out=out, key="a", reading="every2").results[1].scores == skipped.results[1].scores
    assert run(root, fakes.fails, out=out, key="a") == forward


def test_result_key(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"weights")
    key = result_key(model, threads=1)
    assert key == result_key(model, threads=1)
    assert key != result_key(model, threads=2)
    model.write_bytes(b"others")
    assert key != result_key(model, threads=1)
    refiner = tmp_path / "refiner.onnx"
    refiner.write_bytes(b"weights")
    refined = result_key(model, refiner)
    refiner.write_bytes(b"others")
    assert refined != result_key(model, refiner)
    with pytest.raises(BadInput, match=r"none\.onnx: cannot be read"):
        result_key(tmp_path / "none.onnx")
