"""The benchmark over models: what is found, measured and recommended."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from shls.runtime._support.stopwatch import Stopwatch
from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.cli import main as cli
from shls.runtime.diagnostics import model_bench as bench
from shls.runtime.diagnostics.model_bench import Pair, Row, find_models, pair_up, recommend, table
from shls.runtime.errors import BadInput
from shls.runtime.models.contract import Contract
from shls.runtime.types import Mask


class Shifts:
    """Repeats the first mask, moved down by some rows."""

    def __init__(self, precision: str, rows: int) -> None:
        self.stopwatch, self.rows = Stopwatch(), rows
        contract = Contract("played", 16, 32, 4, "00", precision=precision)
        self.session, self.refiner = SimpleNamespace(contract=contract, backend="played"), None

    def start(self, image: np.ndarray, mask: np.ndarray) -> None:  # noqa: ARG002
        self.labels = np.roll(mask, self.rows, axis=0)

    def step(self, image: np.ndarray) -> Mask:  # noqa: ARG002
        with self.stopwatch.time("network"):
            return Mask(self.labels, {})


def open_played(model: Path, threads: int, device: str, refiner: Path | None) -> Shifts:  # noqa: ARG001
    if model.stem == "broken":
        raise BadInput("broken.onnx: is broken; export it again")
    return Shifts(model.stem, {"fp32": 0, "fp16": 1, "int8": 30}[model.stem])


def test_models_are_measured_and_compared_with_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "open_segmenter", open_played)
    for name in ("broken", "fp16", "fp32", "int8"):
        (tmp_path / f"{name}.onnx").write_bytes(bytes(2_000_000))
    (tmp_path / "notes.txt").touch()
    told = list[Path]()
    broken, half, full, eighth = bench.bench(pair_up(find_models([tmp_path])), 4, progress=told.append)
    assert [path.stem for path in told] == ["broken", "fp16", "fp32", "int8"]
    assert broken == Row("broken.onnx", status="broken.onnx: is broken; export it again")
    assert full.iou == 1.0
    assert half.iou is not None
    assert eighth.iou is not None
    assert 1 > half.iou > 0.95 > eighth.iou
    assert half.megabytes == 2.0
    assert half.fps > 0
    assert "is not accurate enough" in recommend([half, full, eighth])


FULL = Row("a.onnx", precision="fp32", megabytes=4.0, fps=5.0, iou=1.0)
HALF = replace(FULL, name="b.onnx", precision="fp16", megabytes=2.0, fps=9.0, iou=0.99)
EIGHTH = replace(FULL, name="c.onnx", precision="int8-cpu", megabytes=1.0, fps=8.0, iou=0.97)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([FULL, HALF], "Use b.onnx: 9.0 frames per second, 1.8 times as fast as a.onnx, IoU 0.990 with its masks."),
        ([FULL, HALF, EIGHTH], "INT8 is not faster here (8.0 frames per second): use FP16."),
        (
            [FULL, replace(HALF, fps=5.1)],
            "Use a.onnx: 5.0 frames per second. No equally accurate model is 5% f",
        ),
        ([FULL, replace(EIGHTH, fps=20.0)], "Use c.onnx: 20.0"),
        ([FULL, replace(EIGHTH, fps=20.0, iou=0.8)], "c.onnx is not accurate enough: IoU 0.800 with fp32."),
        ([replace(HALF, iou=None)], "No fp32 model was measured"),
        ([replace(HALF, iou=0.5)], "No model has an IoU of 0.95"),
        ([Row("x", status="broken")], "No model runs here"),
    ],
)
def test_recommendation(rows: list[Row], words: str) -> None:
    assert words in recommend(rows)


def test_table_has_a_line_a_model() -> None:
    lines = table([FULL, Row("x.engine", status="built for another GPU")]).splitlines()
    assert lines[1].split() == ["a.onnx", "fp32", "-", "4.0", "0.0", "0.0", "0.0", "5.00", "1.000"]
    assert lines[2] == "x.engine  built for another GPU"


def test_models_run_with_the_refiner_of_their_precision(tmp_path: Path) -> None:
    expected = {
        f"shls-edge{kind}.onnx": f"shls-edge-refiner{kind}.onnx" for kind in ("", ".int8-cpu", ".int8-tensorrt")
    }
    pairs = pair_up(find_models([]))
    assert {pair.model.name: pair.refiner and pair.refiner.name for pair in pairs} == expected
    (alone := tmp_path / "mine.onnx").write_bytes((ASSETS / "shls-edge.int8-cpu.onnx").read_bytes())
    assert pair_up([alone]) == [Pair(alone, ASSETS / "shls-edge-refiner.int8-cpu.onnx")]
    with pytest.raises(BadInput, match="got no embedding, expected at least one"):
        pair_up([ASSETS / "shls-edge-refiner.onnx"])


def test_a_folder_without_models(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no model in this folder"):
        find_models([tmp_path])


def test_no_model_runs_is_an_exit_code(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["bench", str(tmp_path / "absent.onnx"), "--json", str(tmp_path / "a.json")])
    assert done.exit_code == 1
    assert "No model runs here" in done.stdout
    assert json.loads((tmp_path / "a.json").read_text())["models"][0]["status"].startswith(str(tmp_path))
