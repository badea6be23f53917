"""The segmenter of `shls-r18`: the published architecture, with about ten times the arithmetic of `shls-edge-refiner`.

Source: Mendonça et al. 2023 (SHLS) and the behaviour of their public code.

Equal to the published method:

- A gate, computed from the attention maps, mixes features of this frame and of the previous frame at both scales.
- A decoder at scales 1/4, 1/2 and 1 has skip connections from the first mask, the previous mask, the first frame's
  features and the attention maps. The output is one logit map per object.
- Objects are merged by soft aggregation (`shls.runtime.refinement.crops.put_back`).
- The region of interest is the object's box enlarged by 30 %, and at least as large as the first box
  (`shls.runtime.refinement.reference_frames`).
- The embedding is frozen during training.

Different from the published method:

- Features: the outputs of the embedding's two heads, 32 channels each, because an exported embedding provides only
  these. The last skip connection has masks and attention maps only, since there are no features at scale 1.
- Regions are resized to one size. The first frame is cropped around the object's own box there. The previous frame's
  features are cropped in this frame's region.
- The previous mask is warped to this frame by optical flow.
- Widths: the papers do not state the widths of the decoder and the gate. Here they are 128, 64 and 32, and the gate
  has one hidden layer.
- The colour-based pre-segmentation remains outside the regions and for objects below 0.25 % of the frame.
- There is no batch normalisation, as in `shls_train.models.edge_refiner`.
- Training: AdamW with a one-cycle schedule instead of Adam at 1e-4. A soft IoU term with weight 0.5 is added to the
  cross-entropy. The previous mask is dropped at random (`shls_train.stages.refiner`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shls.runtime.refinement.crops import CropChannel

from .edge import Residual, double
from .edge_refiner import RefinerNetwork, plain_conv, start
from .r18 import SHARE

LAST, ATTENTION = CropChannel.LAST, slice(CropChannel.NEAREST, CropChannel.PROTOTYPE_OTHER + 1)
"""Channels of a crop: the previous mask and the four attention maps. The last channel is the first mask."""

MASKS = 2
MAPS = MASKS + 4
"""Channels of each skip connection: first mask, previous mask, and four attention maps."""


class R18Segmenter(RefinerNetwork):
    """Refiner of the published method: a gate per scale, then a decoder at strides 4, 2 and 1 of the crop.

    Parameters
    ----------
    dim : int
        D, channels of the embedding's feature map, which both heads share equally.
    widths : tuple of int
        Channels of the decoder at strides 4, 2 and 1.

    Examples
    --------
    >>> network = R18Segmenter()
    >>> channels = ATTENTION.stop + 1
    >>> network(torch.zeros(2, channels, 16, 16), torch.zeros(2, 3 * network.dim, 8, 8)).shape
    torch.Size([2, 16, 16])
    """

    stride, past, size_multiple = 2, True, 4

    def __init__(self, dim: int = 2 * SHARE, widths: tuple[int, int, int] = (128, 64, 32)) -> None:
        super().__init__()
        self.dim = dim
        c4, c2, c1 = widths
        self.gate2, self.gate4 = _gate(), _gate()
        self.merge4 = plain_conv(2 * SHARE + MAPS, c4)
        self.block4 = Residual(c4, False)
        self.lateral4 = nn.Conv2d(c4, c2, 1)
        self.merge2 = plain_conv(c2 + 2 * SHARE + MAPS, c2)
        self.block2 = Residual(c2, False)
        self.lateral2 = nn.Conv2d(c2, c1, 1)
        self.merge1 = plain_conv(c1 + MAPS, c1)
        self.block1 = plain_conv(c1, c1)
        self.head = nn.Conv2d(c1, 1, 3, padding=1)
        start(self)

    def forward(self, crops: Tensor, features: Tensor) -> Tensor:
        """Map crops, (K, C, S, S), and features of three frames, (K, 3 D, S/2, S/2), to logits, (K, S, S).

        `shls.runtime.refinement.reference_frames` defines the channels.
        """
        maps1 = torch.cat([crops[:, -1:], crops[:, LAST : LAST + 1], crops[:, ATTENTION]], dim=1)  # (K, 6, S, S)
        maps2 = F.avg_pool2d(maps1, 2)  # (K, 6, S/2, S/2)
        maps4 = F.avg_pool2d(maps2, 2)  # (K, 6, S/4, S/4)
        now2, last2, first2 = (part[:, :SHARE] for part in features.chunk(3, dim=1))  # of L2
        now4, last4, first4 = (F.avg_pool2d(part[:, SHARE:], 2) for part in features.chunk(3, dim=1))  # of L4
        mixed2 = mix(self.gate2(maps2[:, MASKS:]), now2, last2)  # (K, 32, S/2, S/2)
        mixed4 = mix(self.gate4(maps4[:, MASKS:]), now4, last4)  # (K, 32, S/4, S/4)
        at4 = self.block4(self.merge4(torch.cat([mixed4, first4, maps4], dim=1)))  # (K, c4, S/4, S/4)
        up2 = double(self.lateral4(at4))
        at2 = self.block2(self.merge2(torch.cat([up2, mixed2, first2, maps2], dim=1)))  # (K, c2, S/2, S/2)
        up1 = double(self.lateral2(at2))
        at1 = self.block1(self.merge1(torch.cat([up1, maps1], dim=1)))  # (K, c1, S, S)
        logits: Tensor = self.head(at1)[:, 0]  # (K, S, S)
        return logits


def mix(gate: Tensor, now: Tensor, last: Tensor) -> Tensor:
    """Blend features of this frame and of the previous frame by a gate.

    Parameters
    ----------
    gate : Tensor
        Weight of this frame's features, 0 to 1.
    now, last : Tensor
        Features of this frame and of the previous frame, of the shape of `gate`.

    Returns
    -------
    Tensor
        ``gate * now + (1 - gate) * last``.

    Examples
    --------
    >>> mix(torch.tensor([0.25]), torch.tensor([4.0]), torch.tensor([0.0]))
    tensor([1.])
    """
    return gate * now + (1 - gate) * last


def _gate() -> nn.Sequential:
    """Build a gate: from the four attention maps to a weight per channel of one scale's features."""
    return nn.Sequential(plain_conv(4, SHARE), nn.Conv2d(SHARE, SHARE, 3, padding=1), nn.Sigmoid())
