"""Masks on disk: whole, resumable, read back; and the command."""

from __future__ import annotations

import csv
import inspect
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from shls.runtime.cli.main import app
from shls.runtime.cli.pseudo import pseudo
from shls.runtime.errors import BadInput
from shls.runtime.io.image_collection import Stills
from shls_train.pseudo_labels import masks as pseudo_masks
from shls_train.pseudo_labels.fusion import Saliency, find_object
from shls_train.pseudo_labels.masks import PseudoMasks, Tally, write_masks
from shls_train.pseudo_labels.training import SaliencyConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three discs, each with its number in the first pixel, and a file that is no image."""
    folder = tmp_path / "stills"
    folder.mkdir()
    for i in range(3):
        image = np.full((60, 80, 3), (60, 120, 70), np.uint8)
        cv2.circle(image, (30 + 10 * i, 30), 12, (40, 80 * i, 200), -1)
        image[0, 0] = i
        cv2.imwrite(str(folder / f"{i}.png"), image)
    (folder / "bad.jpg").write_bytes(b"no jpeg")
    return folder


def count(found: list[int]):
    """A cheap way to find objects that notes which stills it was asked for."""

    def find(image: np.ndarray) -> Saliency:
        number = int(image[0, 0, 0])
        found.append(number)
        return Saliency(np.full(image.shape[:2], 10 * number, np.uint8), number / 10)

    return find


def ignore(_: Tally) -> None: ...


def test_masks_are_read_back_by_name_and_position(folder: Path, tmp_path: Path) -> None:
    tally = write_masks(Stills(folder), tmp_path / "out", count([]), ignore)
    masks = PseudoMasks(tmp_path / "out")
    assert masks.names == Stills(folder).names == ["0", "1", "2", "bad"]
    for still in (2, "2", np.int64(2)):
        mask, confidence = masks[still]
        assert confidence == masks.confidence(still) == 0.2
        np.testing.assert_array_equal(mask, np.full((60, 80), 20, np.uint8))
    assert masks.confident(0.0) == [1, 2], "0 is never confident"
    assert masks.confident(0.2) == [2]
    assert masks.confidence("bad") == 0
    with pytest.raises(BadInput, match=r"bad\.png.*cannot be read"):
        masks["bad"]
    assert len(tally.unreadable) == 1
    assert "bad.jpg" in tally.unreadable[0]


def test_the_second_run_only_does_what_is_missing(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_masks(Stills(folder), out, count([]), ignore)
    (out / "1.png").unlink()
    rows = (out / "index.csv").read_text().splitlines()
    (out / "index.csv").write_text("\n".join(rows[:3]) + "\n")  # without the rows of 2 and bad
    asked: list[int] = []
    write_masks(Stills(folder), out, count(asked), ignore)
    assert asked == [1, 2]
    assert (out / "index.csv").read_text().splitlines() == rows


def test_an_interrupted_run_leaves_whole_files(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(Exception):
        pass

    def find(image: np.ndarray) -> Saliency:
        if image[0, 0, 0] == 2:
            raise KilledError
        return find_object(image)

    monkeypatch.setattr(pseudo_masks, "INDEX_EVERY", 0.0)
    out = tmp_path / "out"
    with pytest.raises(KilledError):
        write_masks(Stills(folder), out, find, ignore)
    assert sorted(p.name for p in out.iterdir()) == ["0.png", "1.png", "index.csv"]
    masks = PseudoMasks(out)
    assert [masks[name][0].shape for name in masks.names] == [(60, 80)] * 2
    write_masks(Stills(folder), out, find_object, ignore)
    assert len(PseudoMasks(out)) == 4


def test_out_is_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(BadInput, match=r"cannot be written|not an index"):
        write_masks(Stills(folder), tmp_path / "out", count([]), ignore)


def test_no_masks_and_a_bad_index(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no index\.csv with masks found"):
        PseudoMasks(tmp_path)
    (tmp_path / "index.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="expected columns name and confidence"):
        PseudoMasks(tmp_path)


def test_a_damaged_or_unknown_mask(folder: Path, tmp_path: Path) -> None:
    write_masks(Stills(folder), tmp_path, count([]), ignore)
    (tmp_path / "1.png").write_bytes(b"no PNG")
    masks = PseudoMasks(tmp_path)
    with pytest.raises(BadInput, match=r"1\.png.*not a readable PNG"):
        masks[1]
    with pytest.raises(BadInput, match="no mask of elsewhere"):
        masks["elsewhere"]


def test_the_command_without_refinement(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    run = CliRunner().invoke(app, ["pseudo", str(folder), "--out", str(out), "--no-refine"])
    assert run.exit_code == 0, run.output
    assert "4 stills, 3 masks" in run.output
    assert "bad.jpg" in run.output
    with (out / "index.csv").open() as index:
        assert [row["name"] for row in csv.DictReader(index)] == ["0", "1", "2", "bad"]
    mask = cv2.imread(str(out / "1.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (60, 80)
    assert mask[30, 40] > 200
    assert mask[5, 5] < 50
    again = CliRunner().invoke(app, ["pseudo", str(folder), "--out", str(out)])
    assert isinstance(again.exception, BadInput)
    assert "holds fused masks (expected refined ones). Choose another --out, or give --no-refine." in str(
        again.exception
    )


def test_the_command_fuses_trains_and_refines(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    arguments = ["pseudo", str(folder), "--out", str(out), "--steps", "3", "--batch", "2"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    assert PseudoMasks(out).names == PseudoMasks(out / "fused").names == ["0", "1", "2", "bad"]
    assert PseudoMasks(out)[1][0].shape == (60, 80)
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert len(written) == 6
    (out / "1.png").unlink()
    assert CliRunner().invoke(app, arguments).exit_code == 0
    changed = [path for path in out.rglob("*.png") if written[path] != path.stat().st_mtime_ns]
    assert changed == [out / "1.png"], "a second run does what is missing"
    other = CliRunner().invoke(app, [*arguments, "--no-refine"])
    assert isinstance(other.exception, BadInput)
    assert "holds refined masks" in str(other.exception)


def test_an_embedding_joins_in_and_is_remembered(folder: Path, small_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    plain = ["pseudo", str(folder), "--out", str(out), "--no-refine"]
    run = CliRunner().invoke(app, [*plain, "--embedding", str(small_model)])
    assert run.exit_code == 0, run.output
    assert CliRunner().invoke(app, [*plain, "--embedding", str(small_model)]).exit_code == 0
    other = CliRunner().invoke(app, plain)
    assert isinstance(other.exception, BadInput)
    assert "holds masks of another embedding (got the embedding " in str(other.exception)
    assert "expected no embedding). Choose another --out" in str(other.exception)


def test_options_are_the_recipe() -> None:
    options = {name: p.default for name, p in inspect.signature(pseudo).parameters.items()}
    for name in ("data", "out", "embedding", "refine"):
        del options[name]
    assert options == {f.name: f.default for f in fields(SaliencyConfig)}


def test_masks_do_not_lie_among_the_stills(folder: Path) -> None:
    run = CliRunner().invoke(app, ["pseudo", str(folder), "--out", str(folder / "masks")])
    assert isinstance(run.exception, BadInput)
    assert "Choose another --out" in str(run.exception)
    assert not (folder / "masks").exists()
