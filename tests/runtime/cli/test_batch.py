"""`shls batch` from the command line: one real batch with the small network, and what is refused before the work."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shls.runtime.cli import main as cli
from shls.runtime.errors import BadInput, MissingDependency
from tests.runtime.batch.clips import write_clip


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    write_clip(Path("videos/a.mp4"))
    write_clip(Path("videos/b.mp4"), marked=False)
    return Path("videos")


def batch(*words: object, stdin: str = "") -> Result:
    return CliRunner().invoke(cli.app, ["batch", *map(str, words)], input=stdin)


def test_a_batch_and_its_resumption(videos: Path, small_model: Path) -> None:
    options = ("--out", "o", "--model", small_model, "--unrefined", "--export", "coco", "--jobs", 1, "--threads", 1)
    done = batch(videos, *options)
    assert done.exit_code == 1, done.exception
    assert "2 videos: 1 done, 0 finished before, 1 failed; 3 frames" in done.stdout
    assert "b      failed  videos: no objects marked" in done.stdout
    assert "1/2 b: failed: " in done.stderr
    assert "2/2 a: 3 frames in " in done.stderr
    assert json.loads(Path("o/a/coco/annotations.json").read_text())["videos"] == [{"id": 1, "name": "a"}]
    state = Path("o/a/result.json").read_text()
    again = batch("-", *options, stdin="videos/a.mp4\n")
    assert again.exit_code == 0, again.exception
    assert "1 videos: 0 done, 1 finished before, 0 failed" in again.stdout
    assert Path("o/a/result.json").read_text() == state
    other = batch(videos, "--out", "o", "--model", small_model, "--unrefined", "--every", 2)
    assert isinstance(other.exception, BadInput)
    assert str(other.exception).startswith("o: has results of other settings (got every 1, outputs ['json', 'coco'];")
    done = CliRunner().invoke(cli.app, ["convert", "o", "--to", "mots", "--out", "m"])
    assert done.exit_code == 0, done.exception
    assert len(Path("m/a.txt").read_text().splitlines()) >= 1


def test_two_rows_with_one_output(videos: Path) -> None:
    (videos / "list.csv").write_text("video,output\na.mp4,x\nb.mp4,x\n")
    error = batch(videos / "list.csv", "--out", "o").exception
    assert isinstance(error, BadInput)
    assert "line 3: output x is that of another row (got videos/b.mp4 and videos/a.mp4" in str(error)
    assert not Path("o").exists(), "nothing is begun"


def test_ray_is_not_installed(videos: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])  # no package is found any more
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    done = batch(videos, "--out", "o", "--engine", "ray", "--model", small_model, "--unrefined")
    assert isinstance(done.exception, MissingDependency), done.exception
    assert str(done.exception).startswith("ray: not installed. Install the extra 'ray' of shls: `pip install 'ray>=")
