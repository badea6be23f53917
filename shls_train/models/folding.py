"""A network as it is exported: batch normalisation folded into the convolutions before it; and the weights' digest."""

from __future__ import annotations

import copy
import hashlib
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .edge import Embedding

Network = TypeVar("Network", bound=nn.Module)


def fold_batch_norm(network: Network) -> Network:
    """A copy of a network without batch normalisation; its outputs are the same within rounding."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if isinstance(module, nn.Sequential):
            _fold(module)
    return folded


def _fold(sequence: nn.Sequential) -> None:
    for index in range(len(sequence) - 1):
        convolution, norm = sequence[index], sequence[index + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            sequence[index] = fuse_conv_bn_eval(convolution, norm)
            sequence[index + 1] = nn.Identity()


def embedding_digest(network: Embedding) -> str:
    """The digest that an embedding will have once it is exported, as it is now."""
    folded = fold_batch_norm(network)
    folded.fold_head()
    return weights_digest(folded)


def weights_digest(folded: nn.Module) -> str:
    """SHA-256 of a folded network's weights, whatever file they came from: by it models know each other."""
    digest = hashlib.sha256()
    for name, tensor in sorted(folded.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
