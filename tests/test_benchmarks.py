"""Benchmarks as a stranger meets them: each has help, and says in one line what cannot be used."""

from __future__ import annotations

import runpy
import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.io.masks import read_mask
from shls.runtime.io.sources import open_source

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = sorted(file.stem for file in FOLDER.glob("[!_]*.py") if file.stem != "common")


@pytest.fixture(autouse=True)
def _as_python_runs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.syspath_prepend(FOLDER.parent)


def end_of(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run it; its exit code."""
    file = FOLDER / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(file), *words])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(file), run_name="__main__")
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize("name", NAMES)
def test_help(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert end_of(name, ["--help"], monkeypatch) == 0
    told = capsys.readouterr().out
    assert f"usage: {name}.py" in told
    assert "options:" in told


DAVIS = ["--root", "none", "--set", "none.txt"]


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("ablation", ["none", "--out", "out", *DAVIS], "none: no such folder or file"),
        ("against", ["--base", "none"], "git worktree: failed"),
        ("animation", ["demo.png"], "demo.png: not an animated picture"),
        ("batch_kills", ["--root", "none"], "none: no sequences; expected JPEGImages/RESOLUTION/SEQUENCE"),
        ("clips", ["here.csv/clips.jpg"], "here.csv/clips.jpg: cannot be written"),
        ("core", ["--source", "none.mp4"], "none.mp4: no such file or folder"),
        ("core", ["--json", "here.csv/core.json"], "here.csv/core.json: cannot be written"),
        ("core", ["--counts", "0"], "'0' came; expected a whole number from 1 on"),
        ("curve", ["none.csv", "curve.png"], "none.csv: cannot be read as a log"),
        ("curve", ["here.csv", "curve.png"], "here.csv: not the log of a training"),
        ("curve", ["here.csv", "curve.gif"], "curve.gif: not the name of a picture"),
        ("endurance", ["--frames", "99"], "expected a whole number from 100 on"),
        ("serve_load", ["--viewers", "2", "--hanging", "3"], "--hanging: more than --viewers"),
        ("failures", ["masks", "sheet.jpg", *DAVIS], "none.txt: cannot be read as a list of sequences"),
        ("journey", ["journey.jpg", "--frame", "200"], "ends before frame 200"),
        ("lost", DAVIS, "none.txt: cannot be read as a list of sequences"),
        ("overlap", ["--gpu-ms", "nan"], "'nan' came; expected a number above 0"),
        ("overlap", ["--mask", "none.png"], "none.png: cannot be read as a mask"),
        ("picture", ["picture.jpg", "--frames", "200"], "ends before frame 200"),
        ("precision", DAVIS, "none.txt: cannot be read as a list of sequences"),
        ("precision", ["none", *DAVIS], "none"),
        ("prompts", [], "nothing to measure; give --root with --set, or --ecssd"),
        ("prompts", DAVIS, "none.txt: cannot be read as a list of sequences"),
        ("saliency", ["--root", "none"], "none/images: 0 images"),
        ("superpixels", DAVIS, "none.txt: cannot be read as a list of sequences"),
        ("variants", DAVIS, "none.txt: cannot be read as a list of sequences"),
        pytest.param(
            "wheels", ["--extra", "none"], "--extra none: pyproject.toml has none of that name",
            marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="cannot read pyproject.toml"),
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_one_line(
    name: str,
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.csv").write_text("step,loss\n1,0.5\n")
    assert end_of(name, words, monkeypatch) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"{name}.py: ")
    assert told in last
    assert [file.name for file in tmp_path.iterdir()] == ["here.csv"], "nothing is begun"


def test_segmenters_that_forget_find_something_else() -> None:
    """They lean on what the segmenter keeps to itself, which may move."""
    module = runpy.run_path(str(FOLDER / "variants.py"))
    with open_source(str(ASSETS / "bunny.mp4")) as source:
        images = [cv2.resize(frame.image, (432, 240)) for frame in islice(source, 14)]
    mask = cv2.resize(read_mask(ASSETS / "bunny_mask.png", (480, 854)), (432, 240), interpolation=cv2.INTER_NEAREST)

    def last(name: str) -> np.ndarray:
        segmenter = module["open_variant"](name)
        segmenter.start(images[0], mask)
        return np.stack([segmenter.step(image).labels for image in images[1:]])[-3:]

    whole = last("refined")
    for name in ("refined, memory learns what it read", "no long-term memory", "the marked frame alone"):
        assert not np.array_equal(last(name), whole), name
