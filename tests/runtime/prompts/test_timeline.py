"""Prompts for later frames: what the file may say, and when it is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.prompts.timeline import Prompt, Prompter, read_prompts
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.types import Frame, Mask


def write(folder: Path, content: Any) -> Path:
    path = folder / "prompts.json"
    path.write_text(json.dumps(content))
    return path


def test_all_kinds_sorted_by_frame(tmp_path: Path) -> None:
    (tmp_path / "m.png").touch()
    content = [
        {"frame": 90, "remove": 2},
        {"frame": 40, "box": [1, 2, 3, 4]},
        {"frame": 75, "point": [30, 20], "id": 1},
        {"frame": 75, "mask": "m.png"},
    ]
    assert read_prompts(write(tmp_path, content)) == [
        Prompt(40, "box", (1, 2, 3, 4), None),
        Prompt(75, "point", (30, 20), 1),
        Prompt(75, "mask", tmp_path / "m.png", None),
        Prompt(90, "remove", 2, None),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"frame": 3}, "not a list"),
        ([3], "entry 0: not an object"),
        ([{"frame": 9, "box": [1, 2, 3, 4], "remove": 1}], "one of mask, box, point, remove"),
        ([{"frame": 9, "point": [1, 2], "colour": 1}], "has frame, point, colour"),
        ([{"frame": 5, "remove": 1}], "frame is 5; expected a whole number above 5"),
        ([{"remove": 1}], "frame is None"),
        ([{"frame": 9, "remove": 0}], "remove is 0; expected an object id"),
        ([{"frame": 9, "point": [1, 2], "id": 255}], "id is 255"),
        ([{"frame": 9, "remove": 1, "id": 1}], "id goes with box or point"),
        ([{"frame": 9, "box": [1, 2]}], "expected 4 whole numbers"),
        ([{"frame": 9, "point": [1.5, 2]}], "expected 2 whole numbers"),
        ([{"frame": 9, "mask": "absent.png"}], "mask 'absent.png' is not there"),
    ],
)
def test_what_it_may_not_say(content: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        read_prompts(write(tmp_path, content), start=5)


def test_no_file_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_prompts(tmp_path / "absent.json")
    (tmp_path / "a.json").write_text("[")
    with pytest.raises(BadInput, match="not JSON"):
        read_prompts(tmp_path / "a.json")


class Told:
    """A segmenter that keeps what it was told, and knows object 1."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.mask = Mask(np.zeros((48, 64), np.uint8), {1: 1.0})

    def add(self, mask: np.ndarray) -> Mask:
        ids = np.unique(mask[mask > 0]).tolist()
        self.calls.append(("add", ids))
        self.mask = Mask(mask, self.mask.scores | dict.fromkeys(ids, 1.0))
        return self.mask

    def remove(self, object_id: int) -> Mask:
        self.calls.append(("remove", object_id))
        return self.mask


def frame(index: int) -> Frame:
    return Frame(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8), index, 0.0, "")


def test_prompts_are_applied_when_their_frame_comes_or_the_next(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), np.full((48, 64), 255, np.uint8))
    told = Told()
    prompts = [
        Prompt(3, "box", (5, 5, 20, 20), None),
        Prompt(3, "point", (40, 30), 7),
        Prompt(5, "mask", tmp_path / "m.png", None),
        Prompt(20, "remove", 1, None),
    ]
    prompter = Prompter(prompts, cast(VideoSegmenter, told))
    before = prompter(frame(2), told.mask)
    assert before is told.mask
    assert told.calls == []
    after = prompter(frame(4), told.mask)
    assert told.calls == [("add", [2]), ("add", [7])], "2 is the lowest id that is free"
    assert after is told.mask
    prompter(frame(6), told.mask)
    prompter(frame(30), told.mask)
    assert [kind for kind, _ in told.calls] == ["add", "add", "add", "remove"]
