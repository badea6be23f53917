"""Validation scores on synthetic clips from held-out stills.

The runtime segments the clips, so the scores include superpixels, memory and masks of a deployment.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from shls.runtime.evaluation.metrics import Score
from shls.runtime.evaluation.scoring import sequence_scores
from shls.runtime.models.contract import Contract
from shls.runtime.models.settings import Settings
from shls.runtime.segmenter import VideoSegmenter

from ..data.clips import Clip, ClipSize, make_clip
from ..data.cutouts import cut_out
from ..data.image_stream import Still
from ..data.views import Rng
from ..models.edge import Embedding
from ..pseudo_labels.masks import PseudoMasks

OBJECTS = (1, 1, 2, 3)
"""Number of objects of each validation clip."""

SIZE = ClipSize(frames=8, height=288, width=512)


class NetworkSession:
    """Session of an embedding network in torch; see `shls.runtime.backends.base.Session`.

    Parameters
    ----------
    network : Embedding
        Network to copy. Later changes of its weights have no effect.
    height, width : int
        Size of the input in pixels.

    Examples
    --------
    >>> from ..models.edge import EdgeNet
    >>> session = NetworkSession(EdgeNet(), 64, 96)
    >>> session.run(np.zeros((1, 3, 64, 96), np.float32)).shape
    (64, 16, 24)
    """

    def __init__(self, network: Embedding, height: int, width: int) -> None:
        self._device = next(network.parameters()).device
        self._network = copy.deepcopy(network).eval()
        self.contract = Contract(
            "",
            height,
            width,
            network.dim,
            "",
            network.stride,
            settings=Settings(memory=network.memory),
            head=self._network.fold_head(),
        )
        self.backend, self.on_gpu = f"torch {torch.__version__}", False

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """Map an input, (1, 3, height, width) float32, to features, (C, h, w) float32."""
        with torch.inference_mode():
            features: np.ndarray = self._network(torch.from_numpy(tensor).to(self._device))[0].cpu().numpy()
        return features


def held_out_clips(stills: Sequence[Still], masks: PseudoMasks | None, seed: int) -> list[Clip]:
    """Draw the validation clips of a run. Each clip has an object in its first frame.

    Parameters
    ----------
    stills : sequence of Still
        Held-out stills, at least ``sum(OBJECTS) + len(OBJECTS)``.
    masks : PseudoMasks or None
        Pseudo-masks of the stills; without masks, random blobs are pasted.
    seed : int
        Random seed. Equal seeds give equal clips.

    Returns
    -------
    list of Clip
        One clip per entry of `OBJECTS`.

    Examples
    --------
    >>> clips = held_out_clips(stream.held_out(), None, seed=0)  # doctest: +SKIP
    """
    remaining = iter(stills)
    clips = []
    for number, objects in enumerate(OBJECTS):
        background, *others = (next(remaining) for _ in range(1 + objects))
        rng = np.random.default_rng([seed, number])
        clip = _draw(background, others, masks, rng)
        while not clip.labels[0].any():
            clip = _draw(background, others, masks, rng)
        clips.append(clip)
    return clips


def _draw(background: Still, others: Sequence[Still], masks: PseudoMasks | None, rng: Rng) -> Clip:
    return make_clip(background.image, [cut_out(other, masks, rng) for other in others], rng, SIZE)


def follow_clips(network: Embedding, clips: Sequence[Clip]) -> dict[str, float]:
    """Measure J, F and J&F over all objects of some clips by the DAVIS protocol.

    Parameters
    ----------
    network : Embedding
        Embedding network.
    clips : sequence of Clip
        Clips of `held_out_clips`. The first mask of each clip is given.

    Returns
    -------
    dict of str to float
        Mean "J", "F" and "J&F", 0 to 1.

    Examples
    --------
    >>> scores = follow_clips(network, clips)  # doctest: +SKIP
    """
    scores: list[Score] = []
    for clip in clips:
        segmenter = VideoSegmenter(NetworkSession(network, SIZE.height, SIZE.width), overlap=False)
        segmenter.start(clip.frames[0], clip.labels[0])
        masks = [clip.labels[0], *(segmenter.step(frame).labels for frame in clip.frames[1:])]
        scores += sequence_scores(masks, clip.labels).values()
    j, f = (float(mean) for mean in np.mean(scores, axis=0))
    return {"J": j, "F": f, "J&F": (j + f) / 2}
