"""The saliency network learns from fused masks, goes on bit for bit, and its masks follow edges."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from shls.runtime.errors import BadInput
from shls.runtime.io.image_collection import Stills
from shls_train.engine import loop
from shls_train.engine.run_log import Progress
from shls_train.models.saliency_net import MAP, SIDE, SaliencyNet, normalise, predict
from shls_train.pseudo_labels import training as saliency_training
from shls_train.pseudo_labels.fusion import find_object
from shls_train.pseudo_labels.masks import PseudoMasks, Tally, write_masks
from shls_train.pseudo_labels.training import (
    INERTIA,
    TRUSTED,
    Lessons,
    SaliencyConfig,
    SaliencyTask,
    gather,
    load_network,
    saliency_loss,
    self_train,
)

SMALL = SaliencyConfig(steps=6, batch=2, seed=3)


def ignore(_: Progress | Tally) -> None: ...


def draw(seed: int) -> np.ndarray:
    """A red disc somewhere on green, (60, 80, 3)."""
    rng = np.random.default_rng(seed)
    image = np.full((60, 80, 3), (60, 120, 70), np.uint8)
    centre = int(rng.integers(25, 55)), int(rng.integers(22, 38))
    cv2.circle(image, centre, int(rng.integers(8, 16)), (200, 50, 40), -1)
    return image


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Stills:
    folder = tmp_path_factory.mktemp("stills")
    for i in range(5):
        cv2.imwrite(str(folder / f"{i}.png"), draw(i)[:, :, ::-1])
    (folder / "bad.png").write_bytes(b"no PNG")
    return Stills(folder)


@pytest.fixture(scope="module")
def masks(stills: Stills, tmp_path_factory: pytest.TempPathFactory) -> PseudoMasks:
    folder = tmp_path_factory.mktemp("masks")
    write_masks(stills, folder, find_object, ignore)
    return PseudoMasks(folder)


def lessons(count: int = 4) -> Lessons:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 255, (count, SIDE, SIDE, 3), np.uint8))
    fused = torch.from_numpy(rng.integers(0, 255, (count, MAP, MAP), np.uint8))
    return Lessons(images, fused)


def test_only_confident_masks_are_learned_from(stills: Stills, masks: PseudoMasks) -> None:
    found = gather(stills, masks, 0)
    assert found.images.shape == (5, SIDE, SIDE, 3)
    assert found.fused.shape == (5, MAP, MAP)
    middle = [int(masks[i][0][30, 40]) for i in range(5)]
    np.testing.assert_allclose(found.fused[:, MAP // 2, MAP // 2], middle, atol=60)


def test_of_many_stills_some_are_learned_from(
    stills: Stills, masks: PseudoMasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saliency_training, "MOST", 3)
    one, other = gather(stills, masks, 1), gather(stills, masks, 1)
    assert len(one.images) == 3
    assert torch.equal(one.images, other.images)


def test_a_killed_run_goes_on_bit_for_bit(
    stills: Stills, masks: PseudoMasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    def kill_at_five(at: Progress) -> None:
        if at.step == 5:
            raise KilledError

    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 4)
    whole = self_train(stills, masks, tmp_path / "whole", SMALL, ignore)
    with pytest.raises(KilledError):
        self_train(stills, masks, tmp_path / "killed", SMALL, kill_at_five)
    resumed = self_train(stills, masks, tmp_path / "killed", SMALL, ignore)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert not resumed.training
    assert torch.equal(load_network(tmp_path / "whole").average, whole.average)
    with pytest.raises(BadInput, match=r"got steps \d+, expected steps \d+\)\. Choose another --out"):
        self_train(stills, masks, tmp_path / "whole", SaliencyConfig(steps=7, batch=2, seed=3), ignore)


def test_too_few_confident_masks(stills: Stills, masks: PseudoMasks, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"too few with a confident mask \(got 5, expected at least 6\)"):
        self_train(stills, masks, tmp_path, SaliencyConfig(batch=6), ignore)


def test_a_folder_without_a_network(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no checkpoint"):
        load_network(tmp_path)


def test_a_step_depends_on_seed_and_number_alone() -> None:
    task, twin = SaliencyTask(lessons(), SMALL), SaliencyTask(lessons(), SMALL)
    twin.batch(0)
    one, other = task.batch(3), twin.batch(3)
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.numbers, other.numbers)
    assert not torch.equal(one.images, task.batch(1).images)


def test_an_epoch_visits_every_still_once() -> None:
    task = SaliencyTask(lessons(), SMALL)
    views = [task.batch(step) for step in range(4)]
    assert sorted(torch.cat([v.numbers for v in views[:2]]).tolist()) == [0, 1, 2, 3]
    assert sorted(torch.cat([v.numbers for v in views[2:]]).tolist()) == [0, 1, 2, 3]
    assert [v.epoch for v in views] == [0, 0, 1, 1]


def test_mirrored_views_show_the_still_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saliency_training, "EXPOSURE", 0.0)
    monkeypatch.setattr(
        saliency_training, "colour_changes", lambda _, count: np.stack([np.eye(3, dtype=np.float32)] * count)
    )
    task = SaliencyTask(lessons(), SMALL)
    views = [task.batch(step) for step in range(8)]
    assert {bool(m) for v in views for m in v.mirrored} == {True, False}
    for view in views:
        plain = normalise(task._lessons.images[view.numbers])
        for seen, still, mirrored in zip(view.images, plain, view.mirrored, strict=True):
            torch.testing.assert_close(seen, still.flip(2) if mirrored else still)


def test_the_average_follows_predictions_after_the_first_epoch() -> None:
    task = SaliencyTask(lessons(), SMALL)
    with torch.no_grad():
        task.network.head.weight.zero_()
        task.network.head.bias.fill_(20.0)  # everything is object
    fused = task.network.average.clone()
    task.loss(task.batch(0))
    assert torch.equal(task.network.average, fused), "the first epoch learns from the fused masks alone"
    views = task.batch(2)
    losses = task.loss(views)
    found = INERTIA * fused[views.numbers].float() + (1 - INERTIA) * 255
    torch.testing.assert_close(task.network.average[views.numbers].float(), found, atol=0.6, rtol=0)
    others = [n for n in range(4) if n not in views.numbers.tolist()]
    assert torch.equal(task.network.average[others], fused[others])
    assert losses.scalars["change"] == pytest.approx(1 - fused[views.numbers].float().mean().item() / 255, abs=1e-3)


def test_late_epochs_learn_from_the_average() -> None:
    task = SaliencyTask(lessons(), SMALL)
    task.network.average.fill_(255)  # unlike the fused masks
    with torch.no_grad():
        task.network.head.weight.zero_()
        task.network.head.bias.fill_(20.0)
    assert task.loss(task.batch(2 * TRUSTED - 1)).loss.item() > 1
    task.network.average.fill_(255)
    assert task.loss(task.batch(2 * TRUSTED)).loss.item() == pytest.approx(0, abs=1e-3)


def test_loss_by_hand() -> None:
    average = torch.tensor([[[0.9, 0.1], [0.6, 0.4]]])  # the second row is not sure
    logits = torch.zeros(1, 2, 2)  # a half everywhere
    # Entropy ln 2 at two of four pixels; overlap (0.5 + 1) / (0.5 + 0.5 + 1 - 0.5 + 1).
    expected = np.log(2) / 2 + 1 - 1.5 / 2.5
    assert saliency_loss(logits, average).item() == pytest.approx(expected, abs=1e-6)
    right = torch.tensor([[[30.0, -30], [-30, 30]]])
    assert saliency_loss(right, average).item() == pytest.approx(0, abs=1e-6)


def test_colour_changes_keep_grey_and_turn_hues() -> None:
    rng = np.random.default_rng(0)
    changes = saliency_training.colour_changes(rng, 200)
    greys = changes @ np.ones(3)
    np.testing.assert_allclose(greys, np.repeat(greys[:, :1], 3, axis=1), atol=1e-6)
    colours = changes @ np.array([1.0, 0, 0]) / greys[:, :1]  # of the same contrast
    np.testing.assert_allclose(colours.mean(1), 1 / 3, atol=1e-6)
    assert {int(c) for c in colours.argmax(1)} == {0, 1, 2}
    assert (np.ptp(colours, axis=1) <= 1.2).all(), "never more than all of the saturation"


def test_a_prediction_is_as_symmetric_as_the_image() -> None:
    torch.manual_seed(0)
    network = SaliencyNet().eval()
    image = draw(0)
    found = predict(network, image)
    assert found.shape == (MAP, MAP)
    np.testing.assert_allclose(predict(network, image[:, ::-1].copy()), found[:, ::-1], atol=1e-5)


def test_it_learns_discs(stills: Stills, masks: PseudoMasks, tmp_path: Path) -> None:
    losses: list[float] = []
    config = SaliencyConfig(steps=30, batch=5, seed=0)
    self_train(stills, masks, tmp_path, config, lambda at: losses.append(at.loss))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
