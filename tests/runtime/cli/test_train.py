"""Options of the training commands equal the fields of the recipe."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

from typer.testing import CliRunner

from shls.runtime.cli.main import app
from shls.runtime.cli.train import train, train_refiner
from shls_train.config import RefinerConfig, TrainConfig
from shls_train.engine.checkpoint import load_checkpoint


def test_options_are_the_recipe() -> None:
    options = {name: p.default for name, p in inspect.signature(train).parameters.items()}
    del options["data"], options["out"], options["masks"]
    assert options == {f.name: f.default for f in fields(TrainConfig)}
    options = {name: p.default for name, p in inspect.signature(train_refiner).parameters.items()}
    del options["data"], options["embedding"], options["out"], options["masks"]
    assert options == {f.name: f.default for f in fields(RefinerConfig)}


def test_the_embedding_may_be_onnx(stills: Path, small_checkpoint: Path, small_model: Path, tmp_path: Path) -> None:
    """Its refiner belongs to the same weights as one that is trained with the checkpoint."""
    told = []
    for embedding in (small_model, small_checkpoint):
        small = {"steps": 1, "batch": 1, "clips": 1, "frames": 2, "height": 64, "width": 96, "crop": 32}
        out = tmp_path / embedding.stem
        options = [part for name, value in small.items() for part in (f"--{name}", str(value))]
        arguments = ["train-refiner", str(stills), "--embedding", str(embedding), "--out", str(out), *options]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        told.append(load_checkpoint(out).meta["inputs"])
    assert told[0] == told[1]
