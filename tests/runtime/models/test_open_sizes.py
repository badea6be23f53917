"""Opening of sizes: the network computes the same at its own size, and takes others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from shls.runtime.backends.ort import OrtRefiner
from shls.runtime.models.onnx_reader import read_refiner_contract
from shls.runtime.models.resize import open_sizes
from shls.runtime.types import Crops


def crops_of(size: int, count: int = 2) -> Crops:
    rng = np.random.default_rng(size)
    images = rng.standard_normal((count, 11, size, size)).astype(np.float32)
    features = rng.standard_normal((count, 64, size // 4, size // 4)).astype(np.float32)
    empty = np.zeros((count, 4), np.int64)
    return Crops(np.zeros((1, 1, count + 1), np.float32), np.arange(count), empty, images, features)


def test_only_sizes_change(small_refiner: Path) -> None:
    opened, given = onnx.load_from_string(open_sizes(small_refiner)), onnx.load(small_refiner)
    onnx.checker.check_model(opened)
    assert [node.SerializeToString() for node in opened.graph.node] == [
        node.SerializeToString() for node in given.graph.node
    ]
    assert opened.metadata_props == given.metadata_props
    for now, before in zip(opened.graph.input, given.graph.input, strict=True):
        axes, were = now.type.tensor_type.shape.dim, before.type.tensor_type.shape.dim
        assert list(axes)[:2] == list(were)[:2]
        assert [axis.WhichOneof("value") for axis in axes[2:]] == [None, None]


def test_results_are_the_same_at_the_contracts_size_and_finite_at_others(small_refiner: Path) -> None:
    contract = read_refiner_contract(small_refiner)
    refiner = OrtRefiner(small_refiner, threads=1, device="cpu")
    assert refiner.sizes[-1] == contract.size
    assert len(refiner.sizes) > 1
    crops = crops_of(contract.size)
    fixed = onnxruntime.InferenceSession(small_refiner, providers=["CPUExecutionProvider"])
    (expected,) = fixed.run(None, {contract.crops: crops.images, contract.features: crops.features})
    np.testing.assert_allclose(refiner.run(crops), expected, rtol=1e-5, atol=1e-3)
    for size in refiner.sizes:
        logits = refiner.run(crops_of(size))
        assert logits.shape == (2, size, size)
        assert np.isfinite(logits).all()
