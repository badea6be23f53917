"""What a training run is: every field is an option of `shls train`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainConfig:
    """The recipe of the embedding stage.

    Attributes
    ----------
    steps : optimiser steps of the whole run; the learning rate follows them
    batch : pairs of views per step
    points : corresponding points per pair
    crop : side of a view, pixels
    lr : peak learning rate of AdamW
    temperature : of the InfoNCE loss
    margin : pixels around the right partner that are not counted as wrong
    seed : of weights and views
    """

    steps: int = 4500
    batch: int = 12
    points: int = 128
    crop: int = 192
    lr: float = 2e-3
    temperature: float = 0.07
    margin: float = 10.0
    seed: int = 0
