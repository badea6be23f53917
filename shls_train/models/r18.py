"""The embedding network `shls-r18`: the published architecture, kept for fidelity. It needs 146 GMAC at 864x480.

The network is a ResNet-18 (He et al. 2016) without max-pooling, with outputs at strides 2 and 4. A head per stride
and a fusion layer produce one superfeature of 32 numbers.
Source: Mendonça et al. 2023 (SHLS) and the behaviour of their public code.

Equal to the published method:

- Backbone: strides, channels and sizes.
- Heads: area, row and column of the superpixel, scalar normalisation, ReLU, fusion, 32 numbers.
- Loss: NT-Xent at temperature 0.07 with 16 triplets per superpixel, 3 frames per clip, 300 superpixels.
- Superpixels are cut along the outlines of the objects.

Different from the published method:

- Heads: the linear maps are 1x1 convolutions before pooling; area and position are added after pooling. The result is
  the same, since pooling is linear. Pooling then processes 64 channels instead of 320.
- Pooling: cells are weighted by area, so a superpixel smaller than a cell still gets a feature.
- Superpixels: the SLIC of this project, without a Gaussian filter. `shls.runtime.superpixels.isec` is not connected.
- Superfeatures have unit length, because only cosines are compared.
- Memory: two neighbours at any distance, ten frames including the first, and two clusters, as published. Neighbours of
  all objects vote together with softmax weights instead of 1 and 0.5. Every superpixel is stored with its
  probabilities; the published code stores only superpixels above 0.4 of their class's mean.
- Attention maps use one neighbour instead of two with weights 1 and 0.5.
- Outlier filter: the runtime's filter for all networks (`shls.runtime.memory.visibility`), without a convex hull.
- Segmenter: see `shls_train.models.r18_segmenter`.
- Optimiser: AdamW with weight decay and a one-cycle schedule instead of Adam at 1e-4.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shls.runtime.models.contract import Head
from shls.runtime.models.settings import MemorySettings

from .edge import Embedding
from .pooling import describe, pool

SHARE = 32
"""Channels of each head, and length of a superfeature."""

INFO = 3
"""Geometric inputs of a head: relative area, mean row, mean column."""


class R18Net(Embedding):
    """Embedding network of the published method: 64 channels at stride 2 ("L2"), 256 at stride 4 ("L4").

    Each of the four stages has two blocks, with 64, 128, 256 and 256 channels.

    Examples
    --------
    >>> network = R18Net().eval()
    >>> features = network(torch.zeros(1, 3, 16, 24))
    >>> features.shape
    torch.Size([1, 64, 8, 12])
    >>> network.superfeatures(features, torch.zeros(1, 16, 24, dtype=torch.int64), 1).shape
    torch.Size([1, 1, 32])
    """

    stride, size_multiple = 2, 4
    # Two neighbours at any distance; a bank of ten frames including the first; two clusters per object.
    memory = MemorySettings(recent=9, clusters=2, neighbours=2, radius=10.0)

    def __init__(self) -> None:
        super().__init__()
        self.dim = SHARE
        self.stem = _conv(3, 64, 7, stride=2)
        self.stage64 = nn.Sequential(Block(64, 64), Block(64, 64))
        self.stage128 = nn.Sequential(Block(64, 128, stride=2), Block(128, 128))
        self.stage256 = nn.Sequential(Block(128, 256), Block(256, 256))
        self.last = nn.Sequential(Block(256, 256), Block(256, 256))
        self.head2 = nn.Conv2d(64, SHARE, 1, bias=False)
        self.head4 = nn.Conv2d(256, SHARE, 1, bias=False)
        self.info2, self.info4 = nn.Linear(INFO, SHARE), nn.Linear(INFO, SHARE)
        self.norm2, self.norm4 = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
        self.fusion = nn.Linear(2 * SHARE, SHARE)

    def forward(self, image: Tensor) -> Tensor:
        """Map normalised RGB, (B, 3, H, W), to the outputs of both heads, (B, 64, H/2, W/2)."""
        at2 = self.stage64(self.stem(image))  # (B, 64, H/2, W/2)
        at4 = self.last(self.stage256(self.stage128(at2)))  # (B, 256, H/4, W/4)
        wide = F.interpolate(self.head4(at4), scale_factor=2.0, mode="nearest")  # nearest: pooled means stay exact
        return torch.cat([self.head2(at2), wide], dim=1)  # (B, 64, H/2, W/2)

    def superfeatures(self, features: Tensor, labels: Tensor, number: int) -> Tensor:
        """Pool, add area and position, normalise and fuse; see `Embedding.superfeatures`."""
        info = describe(labels, number)  # (B, N, 3)
        present = info[..., 0] > 0
        pooled, info = pool(features, labels, number)[present], info[present]  # (M, 64), (M, 3)
        of2 = _scale(self.norm2, pooled[:, :SHARE] + self.info2(info))
        of4 = _scale(self.norm4, pooled[:, SHARE:] + self.info4(info))
        fused = self.fusion(F.relu(torch.cat([of2, of4], dim=1)))  # (M, 32)
        out = fused.new_zeros(*present.shape, SHARE)
        out[present] = F.normalize(fused, dim=1)
        return out

    @torch.no_grad()
    def fold_head(self) -> Head:
        """Fold the scalar normalisations into the heads, in place; return the projection that follows pooling."""
        _fold(self.head2, self.info2, self.norm2)
        _fold(self.head4, self.info4, self.norm4)
        return Head(
            info=_numbers(torch.cat([self.info2.weight.T, self.info4.weight.T], dim=1)),
            bias=_numbers(torch.cat([self.info2.bias, self.info4.bias])[None])[0],
            fusion=_numbers(self.fusion.weight.T),
            shift=_numbers(self.fusion.bias[None])[0],
        )


class Block(nn.Module):
    """Basic ResNet block: two 3x3 convolutions and a skip connection, projected where the shape changes.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int
        Stride of the first convolution.

    Examples
    --------
    >>> Block(4, 8, stride=2)(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 3, 3])
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs, 3, stride)
        self.second = _conv(outputs, outputs, 3)[:2]
        same = inputs == outputs and stride == 1
        self.skip = nn.Identity() if same else _conv(inputs, outputs, 1, stride)[:2]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, h, w) to (B, outputs, h / stride, w / stride)."""
        return F.relu(self.skip(x) + self.second(self.first(x)))


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _scale(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Apply scalar batch normalisation: one mean and one variance for all channels of all superpixels."""
    normalised: Tensor = norm(x.reshape(-1, 1))
    return normalised.view_as(x)


def _fold(head: nn.Conv2d, info: nn.Linear, norm: nn.BatchNorm1d) -> None:
    """Move the scale and shift of a scalar normalisation into its head, in place."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    head.weight *= scale
    info.weight *= scale
    info.bias.copy_((info.bias - norm.running_mean) * scale + norm.bias)
    norm.reset_parameters()
    norm.running_var.fill_(1 - norm.eps)  # the normalisation is now the identity


def _numbers(matrix: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
