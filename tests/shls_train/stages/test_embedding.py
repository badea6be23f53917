"""A small run learns, resumes exactly, and refuses what does not fit."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from shls.runtime.errors import BadInput
from shls.runtime.io.image_collection import Stills
from shls_train.config import TrainConfig
from shls_train.data.clips import ClipSize
from shls_train.data.cutouts import cut_out
from shls_train.data.image_stream import StillStream
from shls_train.engine import loop
from shls_train.engine.checkpoint import load_checkpoint, newest_checkpoint, restore_network
from shls_train.engine.loop import TrainingFailed, learning_rate
from shls_train.engine.run_log import Progress
from shls_train.models.edge import EdgeNet
from shls_train.pseudo_labels.masks import PseudoMasks
from shls_train.stages.embedding import Batch, Views, check_alive, sample_points, train

SMALL = TrainConfig(steps=6, batch=2, points=16, crop=64, seed=3)


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stills")
    rng = np.random.default_rng(0)
    for i in range(6):
        noise = rng.integers(0, 255, (12, 16, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(noise, (128, 96), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 2)


def make_batch(stills: Path, config: TrainConfig, step: int) -> Batch:
    return Views(StillStream(stills, config.seed), None, config).batch(step)


def losses(out: Path) -> list[str]:
    return [row["loss"] for row in csv.DictReader((out / "log.csv").open())]


def test_a_killed_run_goes_on_bit_for_bit(stills: Path, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill_at_five(at: Progress) -> None:
        if at.step == 5:
            raise KilledError

    whole = train(stills, tmp_path / "whole", SMALL, lambda _: None)
    with pytest.raises(KilledError):
        train(stills, tmp_path / "killed", SMALL, kill_at_five)
    assert newest_checkpoint(tmp_path / "killed").name == "step-000004.safetensors"  # type: ignore[union-attr]
    resumed = train(stills, tmp_path / "killed", SMALL, lambda _: None)
    assert losses(tmp_path / "whole") == losses(tmp_path / "killed")
    one, two = load_file(whole), load_file(resumed)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_killed_with_9_goes_on_bit_for_bit(stills: Path, tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from shls_train.engine import loop
from shls_train.stages import embedding as train
from shls_train.config import TrainConfig
loop.CHECKPOINT_EVERY = 1
config = TrainConfig(steps=6, batch=2, points=16, crop=64, loss="both", clips=1, superpixels=20)
train.train(Path({str(stills)!r}), Path(sys.argv[1]), config, lambda at: print(at.step, flush=True))
"""
    killed = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "killed")], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    for line in killed.stdout:
        if int(line) >= 3:
            break
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    before = load_checkpoint(tmp_path / "killed")
    assert 2 <= before.meta["step"] < 6
    restore_network(before, EdgeNet)
    for name in ("killed", "whole"):
        subprocess.run([sys.executable, "-c", script, str(tmp_path / name)], check=True, stdout=subprocess.DEVNULL)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    one, two = (load_file(tmp_path / name / "step-000006.safetensors") for name in ("killed", "whole"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_another_recipe_in_the_same_folder_is_refused(stills: Path, tmp_path: Path) -> None:
    train(stills, tmp_path, SMALL, lambda _: None)
    with pytest.raises(BadInput, match=r"got seed 4, expected seed 3\)\. Choose another --out"):
        train(stills, tmp_path, TrainConfig(steps=6, batch=2, points=16, crop=64, seed=4), lambda _: None)


def test_too_few_stills(stills: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"got 6, expected at least 24 for a step"):
        train(stills, tmp_path, TrainConfig(steps=1), lambda _: None)
    with pytest.raises(BadInput, match=r"got 6, expected at least 20 for a step"):
        train(stills, tmp_path, TrainConfig(steps=1, loss="nt-xent"), lambda _: None)


def test_unreadable_stills_are_left_out_and_said(
    stills: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "stills"
    shutil.copytree(stills, folder)
    (folder / "bad.png").write_bytes(b"no image")
    train(folder, tmp_path / "run", SMALL, lambda _: None)
    assert "left out: " in caplog.text
    assert "bad.png: not a readable image" in caplog.text
    assert caplog.messages[-1] == "1 stills or parts of shards were unreadable and left out"


def test_disk_full_keeps_the_old_checkpoint(stills: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shls_train.engine import checkpoint

    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    save = checkpoint.save_file
    monkeypatch.setattr(checkpoint, "save_file", lambda t, p: full(p) if "000004" in str(p) else save(t, p))
    with pytest.raises(BadInput, match="No space left"):
        train(stills, tmp_path, SMALL, lambda _: None)
    assert newest_checkpoint(tmp_path) == tmp_path / "step-000002.safetensors"
    assert not list(tmp_path.glob(".step*"))
    load_checkpoint(tmp_path)


def test_checkpoint_of_another_version_or_network(stills: Path, tmp_path: Path) -> None:
    path = train(stills, tmp_path, SMALL, lambda _: None)
    checkpoint = load_checkpoint(path)
    other = checkpoint.tensors | {"model.stem.0.weight": torch.zeros(8, 3, 3, 3)}
    with pytest.raises(BadInput, match="weights do not fit the network"):
        restore_network(checkpoint._replace(tensors=other), EdgeNet)
    described = path.with_suffix(".json")
    described.write_text(json.dumps(json.loads(described.read_text()) | {"format": 99}))
    with pytest.raises(BadInput, match=r"format \(got 99, expected 1\)"):
        load_checkpoint(path)


def test_truncated_checkpoint(stills: Path, tmp_path: Path) -> None:
    path = train(stills, tmp_path, SMALL, lambda _: None)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInput, match="checkpoint is incomplete or damaged"):
        load_checkpoint(path)


def test_stills_smaller_than_the_crop(tmp_path: Path) -> None:
    for i, size in enumerate([(1, 1), (1, 40), (7, 3), (5, 5), (20, 30), (63, 64)]):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.random.default_rng(i).integers(0, 255, (*size, 3), np.uint8))
    config = replace(SMALL, loss="both", clips=1, frames=2, superpixels=20)
    for step in range(6):
        batch = make_batch(tmp_path, config, step)
        assert batch.images.shape == (6, 3, 64, 64)
        assert batch.images.isfinite().all()


def test_things_are_cut_out_by_their_masks(stills: Path, tmp_path: Path) -> None:
    names = Stills(stills).names
    for name in names:
        mask = np.zeros((96, 128), np.uint8)
        mask[20:60, 30:90] = 255
        cv2.imwrite(str(tmp_path / f"{name}.png"), mask)
    rows = [f"{name},{0.9 if name != '0' else 0.1}" for name in names]
    (tmp_path / "index.csv").write_text("\n".join(["name,confidence", *rows]) + "\n")
    masks, rng = PseudoMasks(tmp_path), np.random.default_rng(0)
    for still in StillStream(stills, 0).draw(0, 6):
        piece = cut_out(still, masks, rng)
        assert (piece.still == still.image).all()
        by_mask = piece.mask.sum() == 255 * 40 * 60
        assert by_mask == (still.name != "0"), "a blob where nobody is sure"
    with pytest.raises(BadInput, match="no mask of strange"):
        cut_out(still._replace(name="strange"), masks, rng)


def test_a_batch_depends_on_seed_and_step_alone(stills: Path) -> None:
    one, two = make_batch(stills, SMALL, 4), make_batch(stills, SMALL, 4)
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.points, two.points)
    assert not torch.equal(one.images, make_batch(stills, SMALL, 5).images)


@pytest.mark.parametrize("loss", ["nt-xent", "both"])
def test_the_published_loss_learns_and_resumes(stills: Path, tmp_path: Path, loss: Literal["nt-xent", "both"]) -> None:
    config = replace(SMALL, loss=loss, clips=1, frames=2, superpixels=20, triplets=4)
    told: list[Progress] = []
    whole = load_file(train(stills, tmp_path, config, told.append))
    assert set(told[0].scalars) == ({"objects"} if loss == "nt-xent" else {"accuracy", "objects"})
    assert all(at.scalars["objects"] > 0 for at in told)
    for suffix in ("json", "safetensors"):
        (tmp_path / f"step-000006.{suffix}").unlink()
    resumed = load_file(train(stills, tmp_path, config, lambda _: None))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_published_network_learns(stills: Path, tmp_path: Path) -> None:
    config = replace(SMALL, network="shls-r18", loss="nt-xent", steps=2, clips=1, frames=2, superpixels=20)
    path = train(stills, tmp_path, config, lambda _: None)
    assert load_checkpoint(path).meta["network"] == "shls-r18"
    with pytest.raises(
        BadInput, match=r"not supported by shls-r18 \(got dense, expected nt-xent\)\. Use --loss nt-xent"
    ):
        train(stills, tmp_path / "dense", replace(config, loss="dense"), lambda _: None)


def test_losses_are_summed_over_one_pass(stills: Path) -> None:
    config = replace(SMALL, loss="both", clips=1, frames=2, superpixels=20)
    batch = make_batch(stills, config, 0)
    assert batch.images.shape == (2 * 2 + 2, 3, 64, 64)
    assert batch.objects is not None
    assert make_batch(stills, replace(config, loss="nt-xent"), 0).images.equal(batch.images[4:])
    assert make_batch(stills, replace(config, loss="dense"), 0).images.equal(batch.images[:4])


def test_a_crop_that_does_not_fit_the_network(stills: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--crop: invalid size \(got 100, expected a multiple of 16\)"):
        train(stills, tmp_path, replace(SMALL, crop=100), lambda _: None)


def test_dead_features_are_told() -> None:
    check_alive(torch.nn.functional.normalize(torch.randn(50, 8), dim=1))
    with pytest.raises(TrainingFailed, match=r"features: all are equal \(got spread"):
        check_alive(torch.nn.functional.normalize(torch.ones(50, 8), dim=1))


def test_held_out_clips_are_measured_and_drawn(stills: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shls_train.data.image_stream.LEAST", 22)
    monkeypatch.setattr("shls_train.data.image_stream.HELD_OUT", 11)
    for name in ("shls_train.validation.synthetic", "shls_train.validation.plots"):
        monkeypatch.setattr(f"{name}.SIZE", ClipSize(frames=3, height=64, width=96))
    folder = tmp_path / "stills"
    for still in stills.iterdir():
        for copy in range(4):
            target = folder / f"{still.stem}-{copy}.png"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(still.read_bytes())
    out = tmp_path / "run"
    train(folder, out, replace(SMALL, steps=2), lambda _: None)
    (row,) = csv.DictReader((out / "validation.csv").open())
    assert 0 <= float(row["J&F"]) <= 1
    assert sorted(path.name for path in (out / "pictures").iterdir()) == [
        "step-000002-clusters.png",
        "step-000002-matches.png",
    ]


def test_points_are_read_where_the_runtime_pools() -> None:
    features = torch.zeros(1, 1, 2, 2)
    features[0, 0, 1, 0] = 1  # the cell of pixels x 0..3, y 4..7
    read = sample_points(features, torch.tensor([[[1.5, 5.5]]]), crop=8)
    assert read.item() == pytest.approx(1.0)


def test_learning_rate_is_one_cycle() -> None:
    rates = [learning_rate(step, TrainConfig(steps=100, lr=1.0)) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert rates[-1] < 1e-3
