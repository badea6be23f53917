"""The options of `shls train` are the fields of the recipe, one to one."""

from __future__ import annotations

import inspect
from dataclasses import fields

from shls.runtime.commands_train import train, train_refiner
from shls_train.config import RefinerConfig, TrainConfig


def test_options_are_the_recipe() -> None:
    options = {name: p.default for name, p in inspect.signature(train).parameters.items()}
    del options["data"], options["out"], options["masks"]
    assert options == {f.name: f.default for f in fields(TrainConfig)}
    options = {name: p.default for name, p in inspect.signature(train_refiner).parameters.items()}
    del options["data"], options["embedding"], options["out"], options["masks"]
    assert options == {f.name: f.default for f in fields(RefinerConfig)}
