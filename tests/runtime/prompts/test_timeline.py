"""Prompts for later frames: what the file may say, and when it is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.objects import NamedMask, ObjectTable
from shls.runtime.prompts.prompt import Prompt
from shls.runtime.prompts.timeline import Entry, Prompter, read_prompts
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
        {"frame": 40, "box": [1, 2.5, 3, 4]},
        {"frame": 75, "point": [30, 20], "id": 1},
        {"frame": 75, "mask": "m.png"},
        {"frame": 76, "box": [[1, 2, 3, 4], [5, 6, 7, 8]], "point": [[1, 1]], "not": [[2, 2], [3, 3]], "name": "dog"},
        {"frame": 91, "remove": "dog"},
    ]
    entries = read_prompts(write(tmp_path, content))
    assert [(entry.frame, entry.key) for entry in entries] == [
        (40, None), (75, 1), (75, None), (76, "dog"), (90, 2), (91, "dog"),
    ]  # fmt: skip
    box, point, mask, several, *removed = [entry.prompt for entry in entries]
    assert removed == [None, None]
    assert box is not None
    assert box.boxes == ((1, 2.5, 3, 4),)
    assert point is not None
    assert point.points == ((30, 20),)
    assert mask is not None
    assert mask.mask == tmp_path / "m.png"
    assert several is not None
    assert several.name == "dog"
    assert several.boxes == ((1, 2, 3, 4), (5, 6, 7, 8))
    assert several.points == ((1, 1),)
    assert several.negative_points == ((2, 2), (3, 3))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"frame": 3}, "not a list"),
        ([3], "entry 0: not an object"),
        ([{}], "entry 0: wrong keys .got none"),
        ([{"frame": 9, "box": [1, 2, 3, 4], "remove": 1}], "entry 0: remove stands alone"),
        ([{"frame": 9, "point": [1, 2], "colour": 1}], "wrong keys .got frame, point, colour"),
        ([{"frame": 9, "not": [1, 2]}], "wrong keys .got frame, not"),
        ([{"frame": 9, "name": "dog"}], "wrong keys"),
        ([{"frame": 5, "remove": 1}], "got 5, expected a whole number above 5"),
        ([{"remove": 1}], "wrong frame .got None"),
        ([{"frame": 9.0, "remove": 1}], "wrong frame"),
        ([{"frame": 9, "remove": 0}], "wrong remove .got 0, expected an object's id"),
        ([{"frame": 9, "point": [1, 2], "id": True}], "wrong id .got True"),
        ([{"frame": 9, "point": [1, 2], "name": 3}], "wrong name .got 3, expected a text"),
        ([{"frame": 9, "remove": 1, "id": 1}], "remove stands alone"),
        ([{"frame": 9, "box": [1, 2]}], "expected 4 numbers in brackets"),
        ([{"frame": 9, "box": "1,2,3,4"}], "expected 4 numbers in brackets"),
        ([{"frame": 9, "point": [[1, 2], [3]]}], "wrong point .got .3., expected 2 numbers"),
        ([{"frame": 9, "point": [True, 2]}], "expected 2 numbers"),
        ([{"frame": 9, "mask": "absent.png"}], "the mask is missing .got 'absent.png'"),
        ([{"frame": 9, "mask": 3}], "the mask is missing .got 3"),
    ],
)
def test_what_it_may_not_say(content: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        read_prompts(write(tmp_path, content), start=5)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"box": [64, 5, 9, 9]}, "entry 1: box 64,5,9,9: the box is empty or outside the frame"),
        ({"point": [5, 48]}, "entry 1: point 5,48: the point is outside the frame"),
        ({"point": [5, 5], "not": [64, 5]}, "entry 1: point 64,5: the point is outside"),
        ({"mask": "m.png"}, "entry 1: .*m.png: the mask has another size than the frame"),
        ({"mask": "m.png", "name": "dog"}, "entry 1: .*m.png: the mask has another size than the frame"),
    ],
)
def test_what_does_not_fit_the_frames_is_refused_at_the_start(entry: Any, words: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), np.full((9, 9), 255, np.uint8))
    path = write(tmp_path, [{"frame": 3, "point": [1, 1]}, {"frame": 2, **entry}])
    with pytest.raises(BadInput, match=words):
        read_prompts(path, size=(48, 64))
    assert len(read_prompts(path)) == 2, "without a size only the form is checked"


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


def apply(entries: list[Entry], told: Told, *frames: int, table: ObjectTable | None = None) -> Prompter:
    prompter = Prompter(entries, cast(VideoSegmenter, told), table)
    for index in frames:
        prompter(frame(index), told.mask)
    return prompter


def test_prompts_are_applied_when_their_frame_comes_or_the_next(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), np.full((48, 64), 255, np.uint8))
    told = Told()
    entries = [
        Entry(3, Prompt(boxes=((5, 5, 20, 20),)), None),
        Entry(3, Prompt(points=((40, 30),)), 7),
        Entry(5, Prompt(mask=tmp_path / "m.png"), None),
        Entry(20, None, 1),
    ]
    prompter = Prompter(entries, cast(VideoSegmenter, told))
    before = prompter(frame(2), told.mask)
    assert before is told.mask
    assert told.calls == []
    after = prompter(frame(4), told.mask)
    assert told.calls == [("add", [2]), ("add", [7])], "2 is the lowest id that is free"
    assert after is told.mask
    prompter(frame(6), told.mask)
    prompter(frame(30), told.mask)
    assert [kind for kind, _ in told.calls] == ["add", "add", "add", "remove"]
    assert prompter.unused() is None


def test_points_correct_an_object_that_is_followed() -> None:
    asked: list[Prompt] = []

    def solve(image: np.ndarray, prompt: Prompt) -> np.ndarray:
        asked.append(prompt)
        return np.ones(image.shape[:2], bool)

    told = Told()
    told.mask.labels[10:20, 10:20] = 1
    entries = [
        Entry(1, Prompt(negative_points=((12, 12),)), 1),
        Entry(1, Prompt(points=((30, 30),)), 5),
        Entry(1, Prompt(boxes=((5, 5, 9, 9),)), 1),
    ]
    Prompter(entries, told, solve=solve)(frame(1), told.mask)
    assert isinstance(asked[0].mask, np.ndarray)
    assert asked[0].mask.sum() == 100, "the mask that the click corrects"
    assert asked[1].mask is None, "a new object"
    assert asked[2].mask is None, "a box marks an object anew"
    assert told.calls == [("add", [1]), ("add", [5]), ("add", [1])]


def test_a_negative_point_corrects_only_what_is_visible(tmp_path: Path) -> None:
    path = write(tmp_path, [{"frame": 3, "not": [5, 5], "id": 1}])
    (entry,) = read_prompts(path, size=(48, 64))
    with pytest.raises(BadInput, match="nothing says where the object is"):
        apply([entry], Told(), 3)


def test_objects_are_known_by_name_and_original_id() -> None:
    table, told = ObjectTable(), Told()
    table.add(NamedMask(np.ones((1, 1), np.uint8), {1: "dog"}, {1: 300}))
    point = Prompt(points=((40, 30),))
    apply(
        [Entry(1, point, "dog"), Entry(2, point, 300), Entry(3, None, 300), Entry(4, None, "dog")], told, 9, table=table
    )
    assert told.calls == [("add", [1]), ("add", [1]), ("remove", 1), ("remove", 1)]
    apply([Entry(1, Prompt("cat", points=((40, 30),)), "cat"), Entry(2, point, 800)], told, 9, table=table)
    assert told.calls[4:] == [("add", [2]), ("add", [3])]
    assert table.name(2) == "cat"
    for key in ("bird", 900):
        with pytest.raises(BadInput, match=f"prompts, frame 9: no object to remove .got {key!r}"):
            apply([Entry(5, None, key)], told, 9, table=table)


def test_a_file_of_objects_does_not_overwrite_others(tmp_path: Path) -> None:
    ids = np.zeros((48, 64), np.uint16)
    ids[:10], ids[20:30] = 300, 400
    cv2.imwrite(str(tmp_path / "m.png"), ids)
    told, table = Told(), ObjectTable()
    apply([Entry(1, Prompt(mask=tmp_path / "m.png"), None)], told, 1, table=table)
    assert told.calls == [("add", [2, 3])], "1 is followed already"
    assert table.file_id(2) == 300


def test_a_mask_with_a_name_is_one_object(tmp_path: Path) -> None:
    ids = np.zeros((48, 64), np.uint8)
    ids[:10], ids[20:30] = 1, 2
    cv2.imwrite(str(tmp_path / "m.png"), ids)
    told = Told()
    apply([Entry(1, Prompt("both", mask=tmp_path / "m.png"), "both")], told, 1)
    assert told.calls == [("add", [2])]
    assert (told.mask.labels > 0).sum() == 20 * 64


def test_a_mask_of_nearly_everything_is_said(caplog: pytest.LogCaptureFixture) -> None:
    apply([Entry(1, Prompt(mask=np.ones((48, 64), np.uint8)), 5)], Told(), 1)
    assert "prompts, frame 1: the mask covers 100 % of the frame" in caplog.text


def test_frames_that_never_come_are_said() -> None:
    entries = [Entry(3, None, 1), *[Entry(at, None, 1) for at in (50, 50, 60)]]
    assert apply(entries, Told(), 2, 4).unused() == (
        "prompts: 3 of frame 50, 60 not applied: the last frame was 4. Correct the frame numbers."
    )


def test_files_of_masks_are_listed() -> None:
    entries = [Entry(3, Prompt(mask=Path("m.png")), None), Entry(4, Prompt(points=((1, 1),)), None), Entry(5, None, 1)]
    assert apply(entries, Told()).files == [Path("m.png")]
