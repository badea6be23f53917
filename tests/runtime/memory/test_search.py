"""Nearest stored superfeatures: packing, search against all pairs, and the instructions of each processor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir

from shls.runtime.memory import _int8_dot
from shls.runtime.memory import _packing as packing
from shls.runtime.memory import _search as nearest

SIZE = (90, 130)


def unit(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    x = rng.normal(size=(count, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def eight_bits(x: np.ndarray) -> np.ndarray:
    return np.rint(x * 127) / 127


@pytest.mark.parametrize("offset", [0, 128])
@pytest.mark.parametrize(("count", "dim"), [(1, 64), (16, 5), (35, 64)])
def test_what_is_packed_is_unpacked(count: int, dim: int, offset: int) -> None:
    features = unit(np.random.default_rng(0), count, dim)
    packed = packing.pack(features, offset)
    assert packed.shape == (-(-count // 16), 1024)
    np.testing.assert_allclose(packing.unpack(packed, offset, count, dim), eight_bits(features), atol=1e-6)
    third = packed[0].reshape(16, 16, 4)[:, 2].ravel().astype(int) - offset  # fours of the third feature
    expected = np.zeros(64, int)
    if count > 2:
        expected[:dim] = np.rint(features[2] * 127)
    assert np.array_equal(third.astype(np.int8), expected)


def test_groups_are_places_with_their_boxes() -> None:
    centres = np.column_stack([np.arange(20.0), 40 - np.arange(20.0)])
    places, boxes = packing.groups_of(centres)
    assert places[0].tolist() == [list(range(16)), list(range(40, 24, -1))]
    assert places[1, :, :4].tolist() == [[16, 17, 18, 19], [24, 23, 22, 21]]
    assert (places[1, :, 4:] == packing.NOWHERE).all()
    assert boxes.tolist() == [[0, 25, 15, 40], [16, 21, 19, 24]]


def test_spatial_order_keeps_neighbours_together() -> None:
    y, x = np.mgrid[5:480:10, 5:850:10]
    places = np.random.default_rng(0).permutation(np.column_stack([x.ravel(), y.ravel()])).astype(np.float32)
    order = packing.spatial_order(places, (480, 850))
    assert np.array_equal(np.sort(order), np.arange(len(places)))
    _, boxes = packing.groups_of(places[order])
    assert np.max(boxes[:, 2:] - boxes[:, :2], axis=0).max() < 100  # 16 of these squares side by side are 160


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 60), frames=st.integers(1, 3), neighbours=st.integers(1, 16), seed=st.integers(0, 999))
def test_search_finds_what_all_pairs_find(count: int, frames: int, neighbours: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dim = int(rng.integers(1, 65))
    queries, places = unit(rng, count, dim), (rng.random((frames, count, 2)) * [130, 90]).astype(np.float32)
    reach = rng.integers(0, 90, frames).astype(np.float32)
    stored, where = [unit(rng, 40, dim) for _ in range(frames)], rng.integers(0, 90, (frames, 40, 2)).astype(float)
    groups = [packing.groups_of(places) for places in where]
    similarity, entry = nearest.search(
        queries,
        places,
        packing.spatial_order(places[0], SIZE),
        np.arange(frames)[::-1],
        reach,
        np.stack([packing.pack(features, _int8_dot.offset()) for features in stored]),
        np.stack([one for one, _ in groups]),
        np.stack([box for _, box in groups]),
        neighbours,
    )
    for n in range(count):
        cosines = {}
        for s in range(frames):
            near = ((where[s] - places[s, n]) ** 2).sum(1) <= reach[s] ** 2
            found = eight_bits(stored[s]) @ eight_bits(queries[n])
            cosines |= {s * 48 + m: found[m] for m in np.flatnonzero(near)}
        best = sorted(cosines.values(), reverse=True)[:neighbours]
        np.testing.assert_allclose(similarity[n, : len(best)], best, atol=1e-5)
        assert (entry[n, len(best) :] == -1).all()
        assert len(set(entry[n, : len(best)])) == len(best)
        np.testing.assert_allclose([cosines[m] for m in entry[n, : len(best)]], best, atol=1e-5)


def test_class_cosines_are_those_of_the_nearest_known() -> None:
    rng = np.random.default_rng(1)
    queries, centroids = unit(rng, 21, 32), unit(rng, 3 * 20, 32).reshape(3, 20, 32)
    known = np.zeros((3, 32), bool)
    known[:2, :20] = rng.random((2, 20)) > 0.5
    packed = np.stack([packing.pack(one, _int8_dot.offset()) for one in centroids])
    found = nearest.class_cosines(queries, packed, known)
    for c in range(2):
        expected = (eight_bits(queries) @ eight_bits(centroids[c][known[c, :20]]).T).max(1)
        np.testing.assert_allclose(found[:, c], expected, atol=1e-5)
    np.testing.assert_allclose(found[:, 2], -2)


@pytest.mark.parametrize(
    ("kind", "triple", "cpu", "features", "instruction"),
    [
        ("vnni", "x86_64-linux-gnu", "icelake-server", "", "vpdpbusd"),
        ("sdot", "aarch64-linux-gnu", "cortex-a78", "+dotprod", "sdot"),
        ("plain", "x86_64-linux-gnu", "haswell", "", "pmaddwd"),
        ("plain", "aarch64-linux-gnu", "cortex-a72", "", "smlal"),
    ],
)
def test_each_processor_gets_its_instruction(kind: str, triple: str, cpu: str, features: str, instruction: str) -> None:
    """Compiled for boards that this machine is not."""
    multiply = getattr(_int8_dot, f"multiply_{kind}")
    wide, narrow = ir.VectorType(ir.IntType(32), 16), ir.VectorType(ir.IntType(8), 64)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(wide, [wide, narrow, ir.IntType(32)]), "step")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(multiply(builder, *function.args))
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu, features, opt=3)
    assert instruction in machine.emit_assembly(llvm.parse_assembly(str(module)))


def test_a_processor_without_dot_product_finds_the_same(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    program = (
        "import numpy as np; from shls.runtime.memory import _int8_dot, _packing, _search\n"
        "x = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32)\n"
        "x /= np.linalg.norm(x, axis=1, keepdims=True)\n"
        "found = _search.class_cosines(x, _packing.pack(x, _int8_dot.offset())[:, None], np.ones((3, 16), bool))\n"
        "all_pairs = np.pad(np.rint(x * 127) @ np.rint(x * 127).T, ((0, 0), (0, 8))) / 127**2\n"
        "assert _int8_dot.offset() == 0\n"
        "assert np.allclose(found, all_pairs.reshape(40, 3, 16).max(2), atol=1e-5)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
