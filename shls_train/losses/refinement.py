"""Loss of the refiner: cross-entropy and soft IoU of merged objects."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from shls.runtime.types import Crops

from ..validation.rollout import Sample


def total_loss(samples: list[Sample], logits: Tensor) -> Tensor:
    """Sum `frame_loss` over frames.

    Parameters
    ----------
    samples : list of Sample
        Frames, possibly none.
    logits : (V, S, S) Tensor
        Output of the refiner for the objects of all frames, in order.

    Returns
    -------
    Tensor
        Scalar loss; 0 without frames.

    Examples
    --------
    >>> total_loss([], torch.zeros(0, 32, 32))
    tensor(0.)
    """
    parts = logits.split([len(sample.crops.objects) for sample in samples])
    return sum((frame_loss(s, part) for s, part in zip(samples, parts, strict=True)), logits.sum() * 0)


def frame_loss(sample: Sample, logits: Tensor) -> Tensor:
    """Cross-entropy inside the objects' boxes plus half of the soft IoU loss per object.

    Parameters
    ----------
    sample : Sample
        Frame with V objects and its ground truth.
    logits : (V, S, S) Tensor
        Output of the refiner.

    Returns
    -------
    Tensor
        Scalar loss.

    Examples
    --------
    >>> import numpy as np
    >>> planes, no_input = np.full((8, 8, 2), 0.5, np.float32), np.zeros((1, 0, 0, 0), np.float32)
    >>> crops = Crops(planes, np.array([1]), np.array([(0, 0, 8, 4)]), no_input, no_input)
    >>> sample = Sample(crops, np.ones((8, 8), np.int64))  # the object fills the frame
    >>> bool(frame_loss(sample, torch.full((1, 4, 4), 9.0)) < frame_loss(sample, torch.zeros(1, 4, 4)))
    True
    """
    probabilities = aggregate(sample.crops, logits)  # (K + 1, h, w)
    truth = torch.from_numpy(sample.truth).to(logits.device)
    inside = torch.zeros(truth.shape, dtype=torch.bool)
    for left, top, right, bottom in sample.crops.boxes:
        inside[top:bottom, left:right] = True
    inside = inside.to(logits.device)
    entropy = F.nll_loss(probabilities.log()[None], truth[None], reduction="none")[0][inside].mean()
    targets = F.one_hot(truth, len(probabilities)).permute(2, 0, 1)[1:]
    intersection = (probabilities[1:] * targets).sum((1, 2))
    union = (probabilities[1:] + targets).sum((1, 2)) - intersection
    return entropy + 0.5 * (1 - (intersection + 1) / (union + 1)).mean()


def aggregate(crops: Crops, logits: Tensor) -> Tensor:
    """Merge refined logits into a frame's probabilities, as `shls.runtime.refinement.crops.put_back`, with gradient.

    Parameters
    ----------
    crops : Crops
        Crops of V objects and the memory's probabilities.
    logits : (V, S, S) Tensor
        Output of the refiner.

    Returns
    -------
    (K + 1, h, w) Tensor
        Probabilities of the background and of K objects.

    Examples
    --------
    >>> import numpy as np
    >>> planes, no_input = np.full((8, 8, 2), 0.5, np.float32), np.zeros((1, 0, 0, 0), np.float32)
    >>> crops = Crops(planes, np.array([1]), np.array([(0, 0, 8, 4)]), no_input, no_input)
    >>> aggregate(crops, torch.full((1, 4, 4), 9.0))[1, :, 0].round(decimals=1)
    tensor([1.0000, 1.0000, 1.0000, 1.0000, 0.5000, 0.5000, 0.5000, 0.5000])
    """
    planes = list(torch.from_numpy(crops.planes).to(logits.device).permute(2, 0, 1))
    inside = torch.zeros(planes[0].shape, dtype=torch.bool)
    for k, (left, top, right, bottom), logit in zip(crops.objects, crops.boxes, logits, strict=True):
        grown = F.interpolate(logit[None, None], size=(bottom - top, right - left), mode="bilinear")[0, 0]
        plane = planes[k].clone()
        plane[top:bottom, left:right] = grown.sigmoid()
        planes[k] = plane
        inside[top:bottom, left:right] = True
    objects = torch.stack(planes[1:])
    together = torch.cat([(1 - objects).prod(0, keepdim=True), objects]).clamp(1e-3, 1 - 1e-3)
    odds = together / (1 - together)
    before = torch.stack([torch.from_numpy(crops.planes[..., 0]).to(logits.device), *planes[1:]])
    return torch.where(inside.to(logits.device), odds / odds.sum(0), before).clamp_min(1e-6)
