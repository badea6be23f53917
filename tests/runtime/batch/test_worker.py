"""One task: its folder appears whole or not at all, and each failure is one line."""

from __future__ import annotations

import errno
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from shls.runtime.batch import worker
from shls.runtime.batch.output_folder import OutputFolder
from shls.runtime.batch.tasks import Outcome, Row, Task, Wanted
from shls.runtime.batch.worker import run_task
from shls.runtime.errors import BadInput
from shls.runtime.formats.results import read_results
from shls.runtime.io.base import Sink
from shls.runtime.io.masks import write_mask
from shls.runtime.types import Frame, Mask
from tests.fake_segmenters import Follows
from tests.runtime.batch.clips import SIZE, first_mask, write_clip, write_frames


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "a.mp4", frames=5)


def run(tmp_path: Path, row: Row, wanted: Wanted | None = None) -> Outcome:
    out = OutputFolder(tmp_path / "out").path
    outcome = run_task(Follows(), Task(row, "key", {}, out, wanted or Wanted()))  # type: ignore[arg-type]
    assert list((out / ".work").iterdir()) == [], "nothing unfinished is left"
    return outcome


def prompts(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "a.json"
    path.write_text(text)
    return path


def test_all_outputs(clip: Path, tmp_path: Path) -> None:
    wanted = Wanted(masks=True, overlay=True, cutout=True, mask_video=True, exports=("coco", "yolo"))
    outcome = run(tmp_path, Row("", str(clip), "night/a", mask=clip.with_suffix(".png"), columns={"n": 1}), wanted)
    assert (outcome.state, outcome.frames, outcome.objects, outcome.columns) == ("done", 5, 1, {"n": 1})
    folder = tmp_path / "out/night/a"
    names = "coco cutouts first.jpg masks masks.mkv middle.jpg objects.jsonl overlay.mp4 result.json worst.jpg yolo"
    assert sorted(one.name for one in folder.iterdir()) == names.split()
    assert Outcome.from_dict(json.loads((folder / "result.json").read_text())) == outcome
    assert all(np.array_equal(frame.labels, first_mask()) for frame in read_results(folder))


def test_a_folder_of_images(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames")
    assert run(tmp_path, Row("", str(folder), "frames", mask=tmp_path / "frames.png")).frames == 2


def test_prompts_by_frame(clip: Path, tmp_path: Path) -> None:
    path = prompts(
        tmp_path,
        '[{"frame": 1, "box": [20, 10, 20, 20], "name": "dog", "id": 7}, {"frame": 1, "point": [2, 2]},'
        ' {"frame": 3, "mask": "a.png"}]',
    )
    outcome = run(tmp_path, Row("", str(clip), "a", prompt_file=path))
    assert outcome.state == "done", outcome.reason
    found = read_results(tmp_path / "out/a")
    assert found.indices == [1, 2, 3, 4], "it begins with the first prompt"
    assert {label: one.name for label, one in found.objects.items()} == {7: "dog", 1: "object"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"frame": 0, "box": [20, 10, 20, 20]}, {"frame": 9, "point": [3, 3]}]',
         "prompts: 1 of frame 9 not applied: the last frame was 4. Correct the frame numbers."),
        ('[{"frame": 90, "box": [20, 10, 20, 20]}]', "a.mp4: has 5 frames (got start 90, expected at most 4)"),
        ('[{"frame": 0, "box": [200, 10, 20, 20]}]', "entry 0: box 200,10,20,20: the box is empty or outside"),
        ('[{"frame": 0, "remove": 1}]', "removes an object before any is marked"),
        ('[{"frame": 0, "box": [2, 2, 20, 20], "id": 1}, {"frame": 0, "box": [30, 2, 20, 20], "id": 1}]',
         "wrong ids in frame 0 (got [1, 1], expected different ids"),
        ('[{"frame": 0, "mask": "a.png"}, {"frame": 0, "point": [2, 2]}]', "a mask of all objects together with"),
        ("[]", "no prompts (got an empty list)"),
    ],
)  # fmt: skip
def test_bad_prompts(text: str, reason: str, clip: Path, tmp_path: Path) -> None:
    outcome = run(tmp_path, Row("", str(clip), "a", prompt_file=prompts(tmp_path, text)))
    assert outcome.state == "failed"
    assert reason in outcome.reason
    assert "\n" not in outcome.reason
    assert not (tmp_path / "out/a").exists()


def test_a_video_that_cannot_be_decoded(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 50)
    write_mask(tmp_path / "bad.png", first_mask())
    outcome = run(tmp_path, Row("", str(tmp_path / "bad.mp4"), "bad", mask=tmp_path / "bad.png"))
    assert (outcome.state, outcome.fatal, outcome.details) == ("failed", False, "")
    assert outcome.reason.startswith(f"{tmp_path}/bad.mp4: ")


def test_a_truncated_video(clip: Path, tmp_path: Path) -> None:
    write_clip(clip, frames=60)
    clip.write_bytes(clip.read_bytes()[:-300])
    outcome = run(tmp_path, Row("", str(clip), "a", mask=clip.with_suffix(".png")))
    assert outcome.state == "failed"
    assert not (tmp_path / "out/a").exists()


def test_a_defect_of_the_software_keeps_its_traceback(clip: Path, tmp_path: Path) -> None:
    class Broken(Follows):
        def step(self, image: np.ndarray) -> Mask:  # noqa: ARG002
            raise ZeroDivisionError("division by zero")

    task = Task(Row("", str(clip), "a", mask=clip.with_suffix(".png")), "", {}, tmp_path / "out", Wanted())
    outcome = run_task(Broken(), task)  # type: ignore[arg-type]
    assert outcome.reason == "ZeroDivisionError: division by zero"
    assert "in step" in outcome.details


def test_a_full_disk_is_fatal(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Sink):
        def write(self, frame: Frame, mask: Mask) -> None:  # noqa: ARG002
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError as error:
                raise BadInput("objects.jsonl: cannot be written (No space left on device).") from error

    monkeypatch.setattr(worker, "open_sinks", lambda *_: Full())
    outcome = run(tmp_path, Row("", str(clip), "a", mask=clip.with_suffix(".png")))
    assert outcome.fatal
    assert "No space left on device" in outcome.reason


def test_an_older_result_is_replaced_whole(clip: Path, tmp_path: Path) -> None:
    row = Row("", str(clip), "a", mask=clip.with_suffix(".png"))
    run(tmp_path, row, Wanted(masks=True))
    run(tmp_path, row)
    assert not (tmp_path / "out/a/masks").exists(), "no file of the older result is left"


def test_a_video_in_object_storage(clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec", reason="the package fsspec is not installed")
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as file:
        file.write(clip, "night/a.mp4")
    url = f"zip://night/a.mp4::{tmp_path}/clips.zip"
    there = run(tmp_path, Row("", url, "there", mask=clip.with_suffix(".png")))
    here = run(tmp_path, Row("", str(clip), "here", mask=clip.with_suffix(".png")))
    assert there.state == "done", there.reason
    assert there.digest == here.digest


def test_digest_and_worst_frame(clip: Path, tmp_path: Path) -> None:
    class Doubts(Follows):
        def step(self, image: np.ndarray) -> Mask:  # noqa: ARG002
            self.at = getattr(self, "at", 0) + 1
            lost = self.at == 3
            return Mask(np.zeros(SIZE, np.uint8) if lost else self.labels, {1: 0.0 if lost else 0.9})

    row = Row("", str(clip), "a", mask=clip.with_suffix(".png"))
    task = Task(row, "", {}, OutputFolder(tmp_path / "out").path, Wanted())
    one, two = run_task(Doubts(), task), run_task(Doubts(), task)  # type: ignore[arg-type]
    assert (one.worst_frame, one.worst_confidence, one.lost_frames) == (3, 0.0, 1)
    assert one.digest == two.digest != run(tmp_path, row).digest
