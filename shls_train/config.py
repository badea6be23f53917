"""What a training run is: every field is an option of its command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What every stage's recipe has; see `shls_train.engine.loop`.

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
    network : ours, or the published one, which is slow and has no dense features to correspond
    loss : dense correspondence between views, the published NT-Xent between objects, or the sum of both
    crop : side of a view and of a clip's frame, pixels
    temperature : of both losses
    batch : dense: pairs of views per step
    points : dense: corresponding points per pair
    margin : dense: pixels around the right partner that are not counted as wrong
    clips : nt-xent: synthetic clips per step
    frames : nt-xent: frames per clip
    superpixels : nt-xent: per frame
    triplets : nt-xent: per superpixel
    """

    network: Literal["shls-edge", "shls-r18"] = "shls-edge"
    loss: Literal["dense", "nt-xent", "both"] = "dense"
    steps: int = 4500
    crop: int = 192
    lr: float = 2e-3
    temperature: float = 0.07
    batch: int = 12
    points: int = 128
    margin: float = 10.0
    clips: int = 4
    frames: int = 3
    superpixels: int = 300
    triplets: int = 16


@dataclass(frozen=True, kw_only=True)
class RefinerConfig(Schedule):
    """The recipe of the refiner's stage.

    Attributes
    ----------
    batch : frames per step
    clips : rolled out for each round of steps, see `shls_train.stages.refiner.ROUND`
    frames : of a clip, the marked one included
    height, width : of a clip's frames, pixels
    crop : S, side of an object's crop, pixels
    superpixels : N, per frame
    """

    steps: int = 3000
    batch: int = 8
    clips: int = 60
    frames: int = 8
    height: int = 384
    width: int = 688
    crop: int = 224
    superpixels: int = 1000
    lr: float = 2e-3
