"""`shls eval` on a small drawn data set, with segmenters that need no model."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from shls.runtime import segmenter
from shls.runtime.cli.evaluate import ReadingName
from shls.runtime.cli.main import app
from shls.runtime.errors import BadInput
from shls.runtime.evaluation.readings import FORWARD, READINGS
from shls.runtime.io.masks import write_mask
from tests.fake_segmenters import Stays


@pytest.fixture
def davis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options for a set of one sequence: a square that moves by 2 pixels a frame, and is gone in the last four."""
    monkeypatch.setattr(segmenter, "open_segmenter", lambda *_, **__: Stays())
    for index in range(10):
        labels = np.zeros((60, 80), np.uint8)
        if index < 6:
            labels[10:30, 4 + 2 * index : 24 + 2 * index] = 1
        for kind in ("JPEGImages", "Annotations"):
            (tmp_path / kind / "480p/ball").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / f"JPEGImages/480p/ball/{index:05d}.jpg"), np.repeat(labels[..., None] * 200, 3, 2))
        write_mask(tmp_path / f"Annotations/480p/ball/{index:05d}.png", labels)
    (tmp_path / "set.txt").write_text("# one sequence\nball\n")
    return ["--root", str(tmp_path), "--set", str(tmp_path / "set.txt")]


def shls_eval(*options: str) -> Result:
    return CliRunner().invoke(app, ["eval", *options])


def test_readings_beside_forward(davis: list[str], tmp_path: Path) -> None:
    done = shls_eval(*davis, "--reading", "reversed", "--reading", "every2", "--json", str(tmp_path / "scores.json"))
    assert done.exit_code == 0, done.output
    summary = done.stdout.strip().split("\n\n")[-1].splitlines()
    assert [line.split()[0] for line in summary] == ["reading", "forward", "reversed", "every2"]
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["mean"]["false_loss"] == {"frames": 0, "of": 5, "share": 0}
    assert scores["mean"]["false_alarm"] == {"frames": 4, "of": 4, "share": 1}
    assert "4/4 100.0%" in summary[1]
    assert list(scores["readings"]) == ["reversed", "every2"]
    backwards = scores["readings"]["reversed"]["sequences"]["ball"]
    assert backwards["false_alarm"] == {"frames": 0, "of": 0, "share": 0}
    assert backwards["J"] == pytest.approx(np.mean([(20 - by) / (20 + by) for by in (2, 4, 6, 8)]), abs=1e-5)


def test_forward_alone(davis: list[str], tmp_path: Path) -> None:
    done = shls_eval(*davis, "--json", str(tmp_path / "scores.json"), "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert "1/1 ball" in done.stderr
    assert json.loads((tmp_path / "scores.json").read_text())["readings"] == {}
    assert len(list((tmp_path / "out/ball").iterdir())) == 10


def test_every_reading_can_be_asked_for() -> None:
    assert [FORWARD, *ReadingName] == list(READINGS)


def test_unknown_reading(davis: list[str]) -> None:
    done = shls_eval(*davis, "--reading", "sideways")
    assert done.exit_code == 2
    assert "sideways" in done.output


def test_json_that_cannot_be_written(davis: list[str], tmp_path: Path) -> None:
    done = shls_eval(*davis, "--json", str(tmp_path / "set.txt" / "scores.json"))
    assert isinstance(done.exception, BadInput)
    assert "scores.json: cannot be written" in str(done.exception)
    assert "ball" not in done.output  # nothing was computed
