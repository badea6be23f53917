"""Read the weights of an ONNX file back into a torch network, where no checkpoint is left."""

from __future__ import annotations

from pathlib import Path

import torch
from onnx import numpy_helper

from shls.calib.onnx_files import check_fp32, read_model
from shls.runtime.errors import BadInput
from shls.runtime.models.onnx_reader import read_contract
from shls_train.engine.checkpoint import EMBEDDINGS
from shls_train.models.edge import Embedding
from shls_train.models.folding import fold_batch_norm, weights_digest


def read_embedding(path: Path) -> Embedding:
    """Return the embedding of an fp32 ONNX file as a torch network in evaluation mode, batch normalisation folded.

    Parameters
    ----------
    path
        An fp32 model that `shls export` wrote.

    Raises
    ------
    BadInput
        If the file cannot be read, is not fp32, or holds weights that cannot be read back.
    ContractMismatch
        If the file is not an embedding, or carries no contract that this version reads.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT
    >>> network = read_embedding(ASSETS / EXACT)
    >>> network.dim
    64
    """
    contract = read_contract(path)
    check_fp32(contract, path)
    if contract.network not in EMBEDDINGS or contract.head is not None:
        raise BadInput(f"{path}: {contract.network} cannot be read back from ONNX. Give its checkpoint")
    network = fold_batch_norm(EMBEDDINGS[contract.network]())
    tensors = {one.name: numpy_helper.to_array(one).copy() for one in read_model(path)[0].graph.initializer}
    weights = {name: torch.from_numpy(tensors[name]) for name in network.state_dict() if name in tensors}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise BadInput(f"{path}: not the weights of {contract.network}. Export the model again") from error
    if weights_digest(network) != contract.checkpoint_sha256:
        raise BadInput(f"{path}: the digest of the weights is not the digest in the contract. Export the model again")
    return network
