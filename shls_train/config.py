"""What a training run is: every field is an option of its command."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What every stage's recipe has; see `shls_train.loop`.

    Attributes
    ----------
    steps : optimiser steps of the whole run; the learning rate follows them
    lr : peak learning rate of AdamW
    seed : of weights and data
    """

    steps: int
    lr: float
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Schedule):
    """The recipe of the embedding stage.

    Attributes
    ----------
    batch : pairs of views per step
    points : corresponding points per pair
    crop : side of a view, pixels
    temperature : of the InfoNCE loss
    margin : pixels around the right partner that are not counted as wrong
    """

    steps: int = 4500
    batch: int = 12
    points: int = 128
    crop: int = 192
    lr: float = 2e-3
    temperature: float = 0.07
    margin: float = 10.0
