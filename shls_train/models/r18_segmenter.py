"""The segmenter of `shls-r18`: the published shape, for fidelity; about ten times the arithmetic of our refiner.

Source: Mendonça et al. 2023 (SHLS) and the behaviour of their public code. What is the same: attention maps decide, by
a gate, how much of this frame's and of the last frame's features is read, at both scales; a decoder at 1/4, 1/2 and 1
with skip connections from the first mask, the last mask, the first frame's features and the attention maps; one logit
map per object; objects are put together by soft aggregation (`shls.runtime.refinement.crops.put_back`); the region of interest is
the object's box, enlarged by 30 %, at least as large as the first one (`shls.runtime.refinement.reference_frames`); the embedding is frozen
while it learns. The tests of this file, of `crops.py` and of `history.py` hold it.

Where it differs:

- It reads what the embedding's two heads make of L2 and L4, 32 channels each, in place of the 64 and 256 themselves:
  that is what an exported embedding gives. There are none at scale 1, so the last skip has masks and attention alone.
- Every region is brought to one size, and the first frame's is the object's own there: a reference that is in the same
  place and of the same size whatever moved in between. The last frame's features are read in this frame's region.
- The last mask is carried to this frame by optical flow.
- Widths of the decoder (128, 64, 32) are ours, as is the gate's (one hidden layer): the papers do not tell them.
- Outside the regions, and for objects below 0.25 % of the frame, the pre-segmentation stays, decided by colours.
- No batch normalisation, for the reason that `refiner.py` gives.
- Learning: AdamW and one cycle in place of Adam at 1e-4; half of what the soft IoU lacks is added to the cross-entropy;
  the last mask is withheld at times (`train_refiner.py`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shls.runtime.refinement.crops import PRIOR

from .edge import Residual, double
from .edge_refiner import RefinerNetwork, plain_conv, start
from .r18 import SHARE

LAST, ATTENTION = PRIOR + 3, slice(PRIOR + 4, PRIOR + 8)
"""Channels of a crop: the last mask, and the four attention maps; the marked mask is the last channel."""

MASKS = 2
MAPS = MASKS + 4
"""Of each skip: first mask, last mask, attention."""


class R18Segmenter(RefinerNetwork):
    """Gate, then a decoder at strides 4, 2 and 1 of the crop.

    Parameters
    ----------
    dim : int
        D, channels of the embedding's map: both heads' shares.
    widths : channels of the decoder at strides 4, 2 and 1
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
        """(K, C, S, S) and (K, 3 D, S/2, S/2) -> (K, S, S) logits; see `shls.runtime.refinement.reference_frames` for the channels."""
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
    """As much of this frame's features as the gate, 0 to 1, lets through; the rest is the last frame's."""
    return gate * now + (1 - gate) * last


def _gate() -> nn.Sequential:
    """From the four attention maps to a share per channel of one scale's features."""
    return nn.Sequential(plain_conv(4, SHARE), nn.Conv2d(SHARE, SHARE, 3, padding=1), nn.Sigmoid())
