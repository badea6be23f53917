"""Checkpoints that run under torch, with the interface of the runtime: the reference for exported models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from shls.runtime.models.contract import Contract
from shls.runtime.models.settings import Settings
from shls.runtime.types import Crops
from shls_train.engine.checkpoint import load_checkpoint, restore_network
from shls_train.models import prompter
from shls_train.models.edge import Embedding
from shls_train.models.edge_refiner import RefinerNetwork, contract_of
from shls_train.models.folding import embedding_digest, fold_batch_norm, weights_digest


class TorchSession:
    """An embedding's checkpoint on the CPU; implements `shls.runtime.backends.base.Session`.

    Parameters
    ----------
    checkpoint
        A checkpoint file or a training folder.
    height, width
        Size of the network's input, pixels.

    Raises
    ------
    BadInput
        If the checkpoint cannot be read, or belongs to another kind of network.

    Examples
    --------
    >>> TorchSession(Path("runs/edge"), 480, 864).run(tensor).shape  # doctest: +SKIP
    (64, 120, 216)
    """

    def __init__(self, checkpoint: Path, height: int, width: int) -> None:
        loaded = load_checkpoint(checkpoint)
        self._network = restore_network(loaded, Embedding)
        self.contract = Contract(
            network=str(loaded.meta["network"]),
            height=height,
            width=width,
            dim=self._network.dim,
            checkpoint_sha256=embedding_digest(self._network),
            stride=self._network.stride,
            settings=Settings(memory=self._network.memory),
            head=self._network.fold_head(),
        )
        self.backend = f"torch {torch.__version__}"
        self.on_gpu = False

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """Return the feature map of a (1, 3, height, width) float32 image: (D, h, w) float32, unit length along D."""
        with torch.inference_mode():
            features: np.ndarray = self._network(torch.from_numpy(tensor))[0].numpy()
        return features


class TorchPrompter:
    """A prompter's checkpoint on the CPU; implements `shls.runtime.backends.base.PromptNetwork`.

    Parameters
    ----------
    checkpoint
        A checkpoint file or a training folder.

    Raises
    ------
    BadInput
        If the checkpoint cannot be read, or belongs to another kind of network.

    Examples
    --------
    >>> TorchPrompter(Path("runs/prompter")).contract.role  # doctest: +SKIP
    'prompter'
    """

    def __init__(self, checkpoint: Path) -> None:
        loaded = load_checkpoint(checkpoint)
        self._network = restore_network(loaded, prompter.PrompterNetwork)
        self.contract = prompter.contract_of(
            self._network,
            loaded.meta["config"]["crop"],
            checkpoint_sha256=weights_digest(fold_batch_norm(self._network)),
            embedding_sha256=loaded.meta["inputs"]["embedding"],
        )
        self.backend = f"torch {torch.__version__}"

    def run(self, crop: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return the logits of one prompt, (S / 2, S / 2) float32."""
        with torch.inference_mode():
            logits: np.ndarray = self._network(torch.from_numpy(crop[None]), torch.from_numpy(features[None]))[
                0
            ].numpy()
        return logits


class TorchRefiner:
    """A refiner's checkpoint on the CPU; implements `shls.runtime.backends.base.Refiner`.

    Parameters
    ----------
    checkpoint
        A checkpoint file or a training folder.

    Raises
    ------
    BadInput
        If the checkpoint cannot be read, or belongs to another kind of network.

    Examples
    --------
    >>> TorchRefiner(Path("runs/refiner")).contract.role  # doctest: +SKIP
    'refiner'
    """

    def __init__(self, checkpoint: Path) -> None:
        loaded = load_checkpoint(checkpoint)
        self._network = restore_network(loaded, RefinerNetwork)
        self.contract = contract_of(
            self._network,
            str(loaded.meta["network"]),
            loaded.meta["config"]["crop"],
            checkpoint_sha256=weights_digest(fold_batch_norm(self._network)),
            embedding_sha256=loaded.meta["inputs"]["embedding"],
        )
        self.sizes: tuple[int, ...] = (self.contract.size,)
        self.backend = f"torch {torch.__version__}"

    def run(self, crops: Crops) -> np.ndarray:
        """Return the logits of the crops, (V, S, S) float32."""
        with torch.inference_mode():
            logits: np.ndarray = self._network(torch.from_numpy(crops.images), torch.from_numpy(crops.features)).numpy()
        return logits
