"""Superpixels and objects of synthetic frames."""

from __future__ import annotations

import cv2
import numpy as np

from shls_train.data.clips import Clip
from shls_train.data.objects import Objects, cut_frames, join


def clip(frames: int) -> Clip:
    """A bright square that moves over a dark ground."""
    labels = np.zeros((frames, 48, 64), np.uint8)
    for at in range(frames):
        labels[at, 10:34, 10 + 3 * at : 34 + 3 * at] = 1
    noise = np.random.default_rng(0).integers(0, 60, (frames, 48, 64, 3), np.uint8)
    pictures = np.stack([cv2.GaussianBlur(one, (0, 0), 2) for one in noise]) + 150 * labels[..., None]
    return Clip(pictures, labels, [])


def objects_of(*clips: Clip, seed: int = 0) -> Objects:
    rng = np.random.default_rng(seed)
    return join([cut for one in clips for cut in cut_frames(one, 20, 4, rng)])


def test_triplets_stay_within_frame_and_object() -> None:
    clips = [clip(2), clip(1)]
    objects = objects_of(*clips)
    F, N = 3, objects.number
    assert objects.labels.shape == (F, 48, 64)
    assert 20 <= N < 60
    truth = np.concatenate([one.labels for one in clips])
    owner = np.full(F * N, -1)
    for frame in range(F):
        for n in range(N):
            inside = truth[frame][objects.labels[frame].numpy() == n]
            assert len(set(inside.tolist())) <= 1, "cut along the outline"
            owner[frame * N + n] = inside[0] if len(inside) else -1
    triplets = objects.triplets.numpy()
    assert sorted(triplets[:, 0]) == np.flatnonzero(owner >= 0).tolist()
    assert (triplets // N == triplets[:, :1] // N).all(), "one frame"
    assert (owner[triplets[:, 1:5]] == owner[triplets[:, :1]]).all()
    assert (owner[triplets[:, 5:]] == 1 - owner[triplets[:, :1]]).all()


def test_the_same_seed_draws_the_same() -> None:
    one, two, other = (objects_of(clip(2), seed=seed) for seed in (5, 5, 6))
    assert one.labels.equal(two.labels)
    assert one.triplets.equal(two.triplets)
    assert not one.triplets.equal(other.triplets)
