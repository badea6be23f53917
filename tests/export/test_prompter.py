"""The prompter on its way to devices: export, calibration, both INT8 placements, comparison, size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from shls.calib.crops import CropSamples, Marked
from shls.calib.placement import tensorrt_faults
from shls.calib.prompts import record_prompts
from shls.calib.quantize import quantize
from shls.calib.ranges import collect_ranges
from shls.export.comparison import count_macs
from shls.export.verdict import TOLERANCES
from shls.export.verify_prompter import compare_prompters, is_prompter, open_prompters
from shls.runtime.backends.base import open_prompter, open_refiner, open_session
from shls.runtime.backends.pretrained import ASSETS, EXACT_PROMPTER, INT8_CPU_PROMPTER
from shls.runtime.cli.main import app
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.io.masks import write_mask
from tests.conftest import scene


@pytest.fixture(scope="module")
def clip() -> Marked:
    mask = np.zeros((80, 120), np.uint8)
    mask[20:50, 20:50], mask[30:60, 80:105] = 1, 2
    image = scene(0)
    image[mask == 1], image[mask == 2] = (250, 20, 20), (20, 20, 250)
    return Marked([image], mask)


@pytest.fixture(scope="module")
def samples(clip: Marked, small_model: Path, small_prompter: Path) -> CropSamples:
    return record_prompts([clip], open_session(small_model), open_prompter(small_prompter), 5)


def test_inputs_of_boxes_and_clicks_are_kept(samples: CropSamples) -> None:
    assert samples.candidates >= 2 * (1 + 2), "of two objects: a box in one run, and a click in two"
    assert samples.images.shape == (5, 7, 64, 64)
    assert samples.features.shape == (5, 67, 16, 16)
    assert samples.images[:, 3].any(), "a box"
    assert samples.images[:, 4].any(), "a point"


def test_nothing_to_mark_is_refused(clip: Marked, small_model: Path, small_prompter: Path) -> None:
    with pytest.raises(BadInput, match="there is no object"):
        record_prompts(
            [clip._replace(mask=np.zeros_like(clip.mask))], open_session(small_model), open_prompter(small_prompter), 5
        )


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_int8_finds_the_same(
    clip: Marked, samples: CropSamples, small_model: Path, small_prompter: Path, tmp_path: Path, target: str
) -> None:
    path = tmp_path / "int8.onnx"
    contract = quantize(small_prompter, collect_ranges(small_prompter, samples, "minmax"), target, path)
    assert contract.precision == f"int8-{target}"
    assert tensorrt_faults(onnx.load(path)) == [] or target == "cpu"
    networks = open_prompters(small_prompter, path)
    done: list[int] = []
    found = compare_prompters(
        *networks, open_session(small_model), clip.frames, clip.mask, TOLERANCES["int8"], progress=done.append
    )
    assert found.cosines.mean() > 0.98
    assert done == [1]


def test_a_checkpoint_and_its_export(
    clip: Marked, small_model: Path, small_prompter: Path, small_prompter_checkpoint: Path, tmp_path: Path
) -> None:
    assert is_prompter(small_prompter)
    assert is_prompter(small_prompter_checkpoint)
    assert not is_prompter(small_model)
    mask = tmp_path / "m.png"
    write_mask(mask, clip.mask)
    frames = tmp_path / "frames"
    frames.mkdir()
    cv2.imwrite(str(frames / "0.png"), clip.frames[0][..., ::-1])
    words = ["verify", small_prompter_checkpoint, small_prompter, "--on", frames, "--mask", mask]
    done = CliRunner().invoke(app, [*map(str, words), "--embedding", str(small_model)])
    assert done.exit_code == 0, done.output
    assert "the two models agree" in done.output


def test_a_mask_is_needed(clip: Marked, small_model: Path, small_prompter: Path) -> None:
    network = open_prompter(small_prompter)
    with pytest.raises(BadInput, match="mask: missing"):
        compare_prompters(network, network, open_session(small_model), clip.frames, None, TOLERANCES["int8"])


def test_roles_are_not_mixed_up(small_model: Path, small_prompter: Path) -> None:
    with pytest.raises(ContractMismatch, match=r"wrong role .got 'prompter', expected 'refiner'"):
        open_refiner(small_prompter)
    with pytest.raises(ContractMismatch, match=r"wrong role .got 'embedding', expected 'prompter'"):
        open_prompter(small_model)


def test_the_shipped_prompter_is_small() -> None:
    paths = [ASSETS / EXACT_PROMPTER, ASSETS / INT8_CPU_PROMPTER]
    assert sum(path.stat().st_size for path in paths) <= 3e6
    model = onnx.load(paths[0])
    assert sum(np.prod(tensor.dims) for tensor in model.graph.initializer) <= 600_000
    assert 2 * count_macs(model) <= 1e9, "a click takes two runs"
