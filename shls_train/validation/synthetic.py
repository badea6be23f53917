"""How well objects are followed through synthetic clips of stills that were kept out of training.

The clips go through the runtime itself, so the figure is about what will run: superpixels, memory, masks.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from shls.runtime.evaluation.metrics import Score, sequence_scores
from shls.runtime.models.contract import Contract
from shls.runtime.segmenter import VideoSegmenter

from ..data.clips import Clip, ClipSize, make_clip
from ..data.cutouts import cut_out
from ..data.image_stream import Still
from ..data.views import Rng
from ..models.edge import Embedding
from ..pseudo_labels.masks import PseudoMasks

OBJECTS = (1, 1, 2, 3)
"""Of each clip."""

SIZE = ClipSize(frames=8, height=288, width=512)


class NetworkSession:
    """A network as it is now; see `shls.runtime.backends.base.Session`."""

    def __init__(self, network: Embedding, height: int, width: int) -> None:
        self._device = next(network.parameters()).device
        self._network = copy.deepcopy(network).eval()
        self.contract = Contract(
            "", height, width, network.dim, "", network.stride, memory=network.memory, head=self._network.fold_head()
        )
        self.backend, self.on_gpu = f"torch {torch.__version__}", False

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """(1, 3, height, width) float32 -> (C, h, w) float32."""
        with torch.inference_mode():
            features: np.ndarray = self._network(torch.from_numpy(tensor).to(self._device))[0].cpu().numpy()
        return features


def held_out_clips(stills: Sequence[Still], masks: PseudoMasks | None, seed: int) -> list[Clip]:
    """Draw the clips that a run is validated on, each with an object in its first frame; always the same.

    Parameters
    ----------
    stills : that were not trained on, at least `sum(OBJECTS) + len(OBJECTS)`
    """
    left = iter(stills)
    clips = []
    for number, objects in enumerate(OBJECTS):
        background, *others = (next(left) for _ in range(1 + objects))
        rng = np.random.default_rng([seed, number])
        clip = _draw(background, others, masks, rng)
        while not clip.labels[0].any():
            clip = _draw(background, others, masks, rng)
        clips.append(clip)
    return clips


def _draw(background: Still, others: Sequence[Still], masks: PseudoMasks | None, rng: Rng) -> Clip:
    return make_clip(background.image, [cut_out(other, masks, rng) for other in others], rng, SIZE)


def follow_clips(network: Embedding, clips: Sequence[Clip]) -> dict[str, float]:
    """J, F and their mean over all objects of the clips, by DAVIS's protocol; the first mask is given."""
    scores: list[Score] = []
    for clip in clips:
        segmenter = VideoSegmenter(NetworkSession(network, SIZE.height, SIZE.width), overlap=False)
        segmenter.start(clip.frames[0], clip.labels[0])
        found = [clip.labels[0], *(segmenter.step(frame).labels for frame in clip.frames[1:])]
        scores += sequence_scores(found, clip.labels).values()
    j, f = (float(mean) for mean in np.mean(scores, axis=0))
    return {"J": j, "F": f, "J&F": (j + f) / 2}
