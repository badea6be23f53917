"""Training recipes: every field is an option of the command that runs the stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Settings that every training stage shares; see `shls_train.engine.loop.fit`.

    Attributes
    ----------
    steps : int
        Optimiser steps of the whole run. The learning rate schedule spans them.
    lr : float
        Peak learning rate of AdamW.
    seed : int
        Random seed of the initial weights and of the training data.

    Examples
    --------
    >>> Schedule(steps=100, lr=1e-3)
    Schedule(steps=100, lr=0.001, seed=0)
    """

    steps: int
    lr: float
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Schedule):
    """Recipe of the embedding stage.

    Attributes
    ----------
    network : {"shls-edge", "shls-r18"}
        The default network, or the published architecture. The published network is slow and trains with NT-Xent only.
    loss : {"dense", "nt-xent", "both"}
        Dense correspondence between views, the published NT-Xent between objects, or the sum of both losses.
    crop : int
        Side of a view and of a clip's frame, in pixels.
    temperature : float
        Softmax temperature of both losses.
    batch : int
        Pairs of views per step (dense loss).
    points : int
        Corresponding points per pair (dense loss).
    margin : float
        Radius around the correct partner, in pixels. Points inside it are not negatives (dense loss).
    clips : int
        Synthetic clips per step (NT-Xent).
    frames : int
        Frames per clip (NT-Xent).
    superpixels : int
        Superpixels per frame (NT-Xent).
    triplets : int
        Triplets per superpixel (NT-Xent).

    Examples
    --------
    >>> TrainConfig(loss="both", steps=9000).temperature
    0.07
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
    """Recipe of the refiner stage.

    Attributes
    ----------
    batch : int
        Frames per step.
    clips : int
        Clips that are rolled out for each round of `shls_train.stages.refiner.ROUND` steps.
    frames : int
        Frames per clip, the reference frame included.
    height, width : int
        Size of a clip's frames, in pixels.
    crop : int
        S, side of an object's crop, in pixels.
    superpixels : int
        N, superpixels per frame.

    Examples
    --------
    >>> RefinerConfig(crop=160).crop
    160
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


@dataclass(frozen=True, kw_only=True)
class PrompterConfig(Schedule):
    """Recipe of the prompter stage.

    Attributes
    ----------
    batch : int
        Prompts per step.
    height, width : int
        Size of a pasted scene, in pixels. A still is scaled to the same number of pixels.
    crop : int
        S, side of a crop, in pixels.

    Examples
    --------
    >>> PrompterConfig(steps=100).crop
    160
    """

    steps: int = 12000
    batch: int = 12
    height: int = 288
    width: int = 512
    crop: int = 160
    lr: float = 2e-3
