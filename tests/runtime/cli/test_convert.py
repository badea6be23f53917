"""`shls convert` and `shls run --export` from the command line, with a segmenter that needs no model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from shls.runtime import segmenter
from shls.runtime.cli import main as cli
from shls.runtime.errors import BadInput
from shls.runtime.formats.results import read_results
from shls.runtime.io.masks import write_mask
from tests.fake_segmenters import Follows
from tests.runtime.batch.clips import first_mask, write_clip


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "open_segmenter", lambda *_, **__: Follows())


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three frames; the current folder holds the clip, its mask, and the results of a run."""
    monkeypatch.chdir(tmp_path)
    write_clip(Path("clip.mp4"))
    done = shls("run", "clip.mp4", "--mask", "clip.png", "--json", "o.jsonl", "--masks", "masks")
    assert done.exit_code == 0, done.exception
    return Path("clip.mp4")


def shls(*words: object) -> Result:
    return CliRunner().invoke(cli.app, list(map(str, words)))


def refused(*words: object) -> str:
    error = shls(*words).exception
    assert isinstance(error, BadInput), error
    return str(error)


@pytest.mark.usefixtures("clip")
def test_json_lines_and_masks_give_the_same(tmp_path: Path) -> None:
    done = shls("convert", "o.jsonl", "--to", "davis", "--out", "new/one")
    assert done.exit_code == 0, done.exception
    assert "1 videos, 3 frames: new/one" in done.stdout
    assert shls("convert", "masks", "--to", "davis", "--out", "new/two").exit_code == 0
    for index in range(3):
        one = (tmp_path / f"new/one/Annotations/480p/o/{index:05d}.png").read_bytes()
        assert one == (tmp_path / f"new/two/Annotations/480p/masks/{index:05d}.png").read_bytes()


def test_several_videos_with_their_frames(clip: Path) -> None:
    done = shls("convert", "o.jsonl", "masks", "--to", "coco", "--out", "c", "--source", clip, "--source", clip)
    assert done.exit_code == 0, done.exception
    content = json.loads(Path("c/annotations.json").read_text())
    assert [one["name"] for one in content["videos"]] == ["o", "masks"]
    assert sorted({one["track_id"] for one in content["annotations"]}) == [1, 2], "track ids are unique in the file"
    assert all(Path("c", one["file_name"]).is_file() for one in content["images"])


def test_a_run_exports(clip: Path) -> None:
    done = shls("run", clip, "--mask", "clip.png", "--export", "coco=c", "--export", "labelme=l")
    assert done.exit_code == 0, done.exception
    assert done.stdout.split()[-2:] == ["c", "l"], "the folders are listed"
    assert "no output is given" not in done.stderr
    assert len(json.loads(Path("c/annotations.json").read_text())["annotations"]) == 3
    assert len(list(Path("l/clip").glob("*.json"))) == 3
    assert not [one.name for one in Path().iterdir() if one.name.startswith(".")], "nothing unfinished is left"


@pytest.mark.usefixtures("clip")
def test_what_is_refused() -> None:
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("precious")
    Path("empty.jsonl").write_text("")
    Path("bad.jsonl").write_text('{"frame": 0, "objects": [{"id": 1}]}\n')
    Path("mixed").mkdir()
    write_mask(Path("mixed/0.png"), first_mask())
    write_mask(Path("mixed/1.png"), np.ones((5, 5), np.uint8))
    to = ("--to", "coco", "--out", "c")
    assert refused("convert", "none", *to).startswith("none: no such file or folder")
    assert refused("convert", "o.jsonl", "--to", "coco", "--out", "full").startswith("full: exists (expected a new")
    assert refused("convert", "empty.jsonl", *to).startswith("empty.jsonl: no objects (got 0 frames")
    assert refused("convert", "bad.jsonl", *to).startswith("bad.jsonl, line 1: no result of a run (KeyError: 'rle'")
    assert refused("convert", "mixed", *to).startswith("mixed/1.png: another size (got 5x5, expected 64x48")
    assert "the name o is that of another video" in refused("convert", "o.jsonl", "o.jsonl", *to)
    assert "sources: wrong number (got 2 for 1 videos)" in refused(
        "convert", "o.jsonl", *to, "--source", "clip.mp4", "--source", "clip.mp4"
    )
    assert refused("run", "clip.mp4", "--mask", "clip.png", "--export", "coco").startswith("--export coco: not FORMAT=")
    assert "two formats have one folder" in refused(
        "run", "clip.mp4", "--mask", "clip.png", "--export", "coco=c", "--export", "mots=./c"
    )
    assert not Path("c").exists()
    assert Path("full/thesis.txt").read_text() == "precious"


@pytest.mark.usefixtures("clip")
def test_a_source_that_does_not_fit() -> None:
    write_clip(Path("short.mp4"), frames=2)
    said = refused("convert", "o.jsonl", "--to", "yolo", "--out", "y", "--source", "short.mp4")
    assert said.startswith("short.mp4: has no frame 2")
    assert not Path("y").exists()
    assert not Path(".y.part").exists()


@pytest.mark.usefixtures("clip")
def test_frames_of_a_later_start() -> None:
    shls("run", "clip.mp4", "--mask", "clip.png", "--start", 1, "--json", "late.jsonl")
    assert read_results("late.jsonl").indices == [1, 2]
    assert shls("convert", "late.jsonl", "--to", "labelme", "--out", "l", "--source", "clip.mp4").exit_code == 0
    assert sorted(one.name for one in Path("l/late").iterdir()) == [
        "00001.jpg",
        "00001.json",
        "00002.jpg",
        "00002.json",
    ]
