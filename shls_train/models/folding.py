"""Preparation of networks for export: folding of batch normalisation, and the digest of the weights."""

from __future__ import annotations

import copy
import hashlib
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .edge import Embedding

Network = TypeVar("Network", bound=nn.Module)


def fold_batch_norm(network: Network) -> Network:
    """Copy a network and fold batch normalisation into the preceding convolutions.

    Parameters
    ----------
    network : nn.Module
        Network to copy; it remains unchanged.

    Returns
    -------
    nn.Module
        Copy in evaluation mode, with the same outputs within rounding.

    Examples
    --------
    >>> folded = fold_batch_norm(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    >>> [type(layer).__name__ for layer in folded]
    ['Conv2d', 'Identity']
    """
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
    """Digest of an embedding network's weights as an exported model stores it.

    Examples
    --------
    >>> from .edge import EdgeNet
    >>> len(embedding_digest(EdgeNet()))
    64
    """
    folded = fold_batch_norm(network)
    folded.fold_head()
    return weights_digest(folded)


def weights_digest(folded: nn.Module) -> str:
    """SHA-256 of a folded network's weights. Models refer to each other by this digest.

    Parameters
    ----------
    folded : nn.Module
        Network of `fold_batch_norm`.

    Returns
    -------
    str
        Digest in hexadecimal.

    Examples
    --------
    >>> weights_digest(nn.Identity())[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(folded.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
