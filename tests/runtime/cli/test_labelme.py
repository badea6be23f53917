"""`shls labelme` from the command line, with a segmenter that needs no model."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from shls.runtime import segmenter
from shls.runtime.cli import main as cli
from shls.runtime.errors import BadInput
from shls.runtime.io.masks import read_objects
from shls.runtime.types import Mask
from tests.fake_segmenters import Follows

BOX = [[8, 10], [39, 29]]


class Weakens(Follows):
    """Repeats the first mask without its second object, with a confidence that falls by 0.15 per frame."""

    score = 1.0

    def __enter__(self) -> Weakens:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def step(self, image: np.ndarray) -> Mask:  # noqa: ARG002
        self.score -= 0.15
        return Mask(np.where(self.labels == 2, 0, self.labels).astype(np.uint8), {1: self.score, 2: 0.0})


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "open_segmenter", lambda *_, **__: Weakens())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images, 8.jpg to 10.jpg, and the labelme file of the first one."""
    for name in ("8", "9", "10"):
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), np.full((64, 96, 3), 90, np.uint8))
    shapes = [
        {"label": "dog", "points": BOX, "group_id": 7, "shape_type": "rectangle", "flags": {}},
        {"label": "cat", "points": [[50, 40], [60, 50]], "group_id": 3, "shape_type": "rectangle", "flags": {}},
    ]
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "8.jpg", "imageData": None}
    (tmp_path / "8.json").write_text(json.dumps({**content, "imageHeight": 64, "imageWidth": 96}))
    return tmp_path


def shls(*words: object) -> Result:
    return CliRunner().invoke(cli.app, list(map(str, words)))


def refused(*words: object) -> str:
    error = shls(*words).exception
    assert isinstance(error, BadInput), error
    return str(error)


def test_the_first_file_is_carried_through_the_folder(folder: Path) -> None:
    before = (folder / "8.json").read_bytes()
    done = shls("labelme", folder)
    assert done.exit_code == 0, done.exception
    assert "2 objects of" in done.stdout
    assert "in 2 further images" in done.stdout
    assert (folder / "8.json").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["10.jpg", "10.json", "8.jpg", "8.json", "9.jpg", "9.json"]
    content = json.loads((folder / "9.json").read_text())
    assert (content["imagePath"], content["imageHeight"], content["imageWidth"]) == ("9.jpg", 64, 96)
    assert [(one["label"], one["group_id"], one["description"]) for one in content["shapes"]] == [
        ("dog", 7, "confidence 0.8500")
    ]
    first = read_objects(folder / "8.json", (64, 96))
    again = read_objects(folder / "9.json", (64, 96))
    dog = next(label for label, name in first.names.items() if name == "dog")
    assert np.array_equal(again.labels > 0, first.labels == dog)
    assert again.names == {1: "dog"}


def test_confidence_sets_the_flags(folder: Path) -> None:
    assert shls("labelme", folder).exit_code == 0
    contents = [json.loads((folder / name).read_text()) for name in ("9.json", "10.json")]
    assert [one["flags"] for one in contents] == [{"uncertain": False, "lost": True}, {"uncertain": True, "lost": True}]
    assert [one["shapes"][0]["flags"] for one in contents] == [{"uncertain": False}, {"uncertain": True}]
    assert shls("labelme", folder, "--overwrite", "--uncertain", "0.5").exit_code == 0
    assert json.loads((folder / "10.json").read_text())["flags"]["uncertain"] is False


def test_existing_files_are_kept(folder: Path) -> None:
    (folder / "10.json").write_text("{}")
    assert "10.json: exists already" in refused("labelme", folder)
    assert not (folder / "9.json").exists()
    assert (folder / "10.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file"),
        ("[", "cannot be read as a mask"),
        ('{"shapes": []}', "the file has no object"),
        ('{"annotations": [{"segmentation": [[1, 1, 9, 1, 9, 9]]}]}', "not of labelme"),
    ],
)
def test_bad_first_file(folder: Path, content: str | None, problem: str) -> None:
    (folder / "8.json").unlink()
    if content is not None:
        (folder / "8.json").write_text(content)
    message = refused("labelme", folder)
    assert "8.json" in message
    assert problem in message
    assert not (folder / "9.json").exists()


def test_not_a_folder(folder: Path) -> None:
    assert "not a folder" in refused("labelme", folder / "8.jpg")
