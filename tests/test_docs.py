"""The documentation: its commands run, its table of imports is the tested one, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer.main
from typer.testing import CliRunner

from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.cli.main import app
from shls.runtime.io.base import StreamInfo
from shls.runtime.io.masks import write_mask
from shls.runtime.io.sources import open_source
from shls.runtime.io.video_sink import VideoSink
from shls.runtime.segmenter import open_segmenter
from shls.runtime.types import Mask
from tests.test_layers import ALLOWED

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [DOCS / "quick-start.md", *sorted((DOCS / "how-to").glob("*.md"))]
LIVE = re.compile(r"^(0(\?.*)?|rtsp://.*)$")
"""Sources of the pages for which the tests have no camera; a file stands in."""

SMALL = {
    "train": "--steps 1 --crop 32 --batch 2 --points 16 --clips 1 --superpixels 30",
    "train-refiner": "--steps 1 --crop 32 --batch 2 --clips 1 --frames 2 --height 64 --width 96 --superpixels 60",
    "train-prompter": "--steps 3 --crop 32 --batch 2 --height 64 --width 96",
    "pseudo": "--steps 1 --batch 2",
    "calibrate": "--count 2",
    "sensitivity": "--count 2",
    "verify": "--count 2 --cosine -1 --iou 0",
    "bench": "--frames 2",
    "batch": "--jobs 1",
    "serve": "--duration 0.2 --port 0",
}
"""Options appended to a command of the pages, so that it takes seconds; the last value of an option counts."""

SKIPPED = {
    "engine": "needs TensorRT",
    "--adopt": "needs TensorRT",
    "cuda": "needs a GPU",
    "torchrun": "starts processes",
    "ray": "needs a cluster; tests/runtime/batch has one",
    "s3://bucket/night/*.mp4": "needs object storage; tests/runtime/batch has a zip file",
    "shls-r18": "trains a large network; tests/shls_train has it small",
    "runs/r18": "as above",
    "demo": "tests/runtime/cli runs it",
    "--max-drop": "evaluates a set several times; tests/calib has it small",
}
"""Words of commands that are checked for their options only, with the reason."""


def commands(page: Path) -> list[list[str]]:
    """Return the words of each `shls` line in the bash blocks of a page, indented blocks included."""
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", page.read_text(), re.S | re.M)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if re.match(r"(torchrun .*)?shls ", line)]


def readme_commands() -> list[list[str]]:
    found = re.findall(r"`(shls [^`]+)`", (ROOT / "README.md").read_text())
    return [shlex.split(command) for command in found]


def unknown_options(words: list[str]) -> set[str]:
    words = words[words.index("shls") + 1 :]
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    return {word for word in words if word.startswith("--")} - known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_of_the_pages_are_known(page: Path) -> None:
    found = commands(page)
    assert found
    assert [words for words in found if unknown_options(words)] == []


def test_options_of_the_readme_are_known() -> None:
    found = readme_commands()
    assert len(found) > 15
    assert [words for words in found if unknown_options(words)] == []
    assert unknown_options(shlex.split("shls run a.mp4 --no-such")) == {"--no-such"}


@pytest.fixture(scope="module")
def material(
    tmp_path_factory: pytest.TempPathFactory,
    stills: Path,
    small_checkpoint: Path,
    small_model: Path,
    small_refiner_checkpoint: Path,
    small_refiner: Path,
    small_prompter_checkpoint: Path,
    small_prompter: Path,
) -> Path:
    """Lay out the files that the pages name: five small frames of the shipped clip, stills, networks, a set."""
    folder = tmp_path_factory.mktemp("pages")
    with open_source(ASSETS / "bunny.mp4") as clip:
        shots = [
            frame._replace(image=cv2.resize(frame.image, (480, 400), interpolation=cv2.INTER_AREA))
            for frame in islice(clip, 5)
        ]
    mask = np.zeros((400, 480), np.uint8)
    mask[120:320, 380:470] = 1
    davis = [folder / "DAVIS" / kind / "480p" / "rabbit" for kind in ("JPEGImages", "Annotations")]
    for place in (folder / "frames", folder / "DAVIS/ImageSets/2017", *davis):
        place.mkdir(parents=True)
    with VideoSink(folder / "video.mp4", StreamInfo((400, 480), 25.0)) as video:
        for index, shot in enumerate(shots):
            video.write(shot, Mask(np.zeros_like(mask), {}))
            cv2.imwrite(str(folder / f"frames/{index:05d}.png"), shot.image[..., ::-1])
            cv2.imwrite(str(davis[0] / f"{index:05d}.jpg"), shot.image[..., ::-1])
            write_mask(davis[1] / f"{index:05d}.png", mask)
    write_mask(folder / "first.png", mask)
    for name in ("val.txt", "DAVIS/ImageSets/2017/val.txt"):
        (folder / name).write_text("rabbit\n")
    (folder / "videos").mkdir()
    shutil.copy(folder / "video.mp4", folder / "videos/clip.mp4")
    shutil.copy(folder / "first.png", folder / "videos/clip.png")
    table = re.search(r'```csv title="list.csv"\n(.*?)```', (DOCS / "how-to/batch.md").read_text(), re.S)
    assert table
    (folder / "list.csv").write_text(table[1])
    for page, name in (("follow", "prompts.json"), ("mark", "corrections.json"), ("tools", "frames/00000.json")):
        prompts = re.search(rf'```json title="{name}"\n(.*?)```', (DOCS / f"how-to/{page}.md").read_text(), re.S)
        assert prompts
        (folder / name).write_text(prompts[1])
    shutil.copytree(stills, folder / "stills")
    shutil.copytree(small_checkpoint, folder / "runs/edge")
    shutil.copytree(small_refiner_checkpoint, folder / "runs/refiner")
    shutil.copytree(small_prompter_checkpoint, folder / "runs/prompter")
    for name, source in (("edge", small_model), ("refiner", small_refiner), ("prompter", small_prompter)):
        shutil.copy(source, folder / f"{name}.onnx")
    return folder


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem not in ("cluster", "engines")], ids=lambda page: page.stem
)
def test_commands_of_the_pages_run(page: Path, material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pages"
    shutil.copytree(material, folder)
    monkeypatch.chdir(folder)
    if page.stem == "train":  # the page makes them itself
        shutil.rmtree("runs")
    ran = 0
    for words in commands(page):
        if any(word in SKIPPED for word in words):
            continue
        words = ["video.mp4" if LIVE.match(word) else word for word in words[1:]]
        if "--max-age" in words:  # for live sources only
            del words[words.index("--max-age") : words.index("--max-age") + 2]
        result = CliRunner().invoke(app, [*words, *shlex.split(SMALL.get(words[0], ""))])
        accepted = (0, 1) if words[0] == "doctor" else (0,)  # doctor ends with 1 where it finds a problem
        assert result.exit_code in accepted, (words, result.output[-600:], result.exception)
        for option in ("--out", "--masks", "--json", "--mask-video", "--cutout", "--preview", "--report"):
            if option in words and (name := words[words.index(option) + 1]) != "-" and "train" not in words[0]:
                assert Path(name).exists(), (words, option)
        ran += 1
    assert ran


def test_the_page_has_the_table_of_the_layers() -> None:
    rows = []
    for place, may in ALLOWED.items():
        names = ", ".join(f"`{name}`" for name in sorted(may)).replace("shls.runtime.", "") or "-"
        rows.append(f"| `{place}` | {names} |")
    table = "\n".join(rows)
    assert table in (DOCS / "architecture.md").read_text(), f"The rows have to be:\n{table}"


def test_the_walk_names_every_file_that_a_step_runs(small_model: Path, small_refiner: Path) -> None:
    text = (DOCS / "architecture.md").read_text()
    _, main, _ = re.split(r"<!-- (?:main road|beside the road): .*-->", text)
    road = re.findall(r"^\d+\. `(runtime/\S+\.py)`", main, re.M)
    assert len(road) <= 12
    assert all((ROOT / file).is_file() for file in road)
    entered: set[str] = set()

    def note(frame: object, event: str, _: object) -> None:
        if event == "call":
            entered.add(frame.f_code.co_filename)  # type: ignore[attr-defined]

    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), (96, 64), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 24:72] = 1
    with open_segmenter(small_model, refiner=small_refiner, device="cpu") as segmenter:
        segmenter.start(image, mask)
        segmenter.step(image)
        sys.setprofile(note)
        try:
            segmenter.step(image)
        finally:
            sys.setprofile(None)
    files = {path for name in entered if (path := Path(name).resolve()).is_relative_to(ROOT / "runtime")}
    assert len(files) > 12
    named = text.split("## Rules for kernels")[0]
    assert sorted(file.name for file in files if file.name not in named) == []
    unused = [file for file in road if (ROOT / file).resolve() not in files]
    assert unused == []


def test_links_of_the_readme_and_of_its_companions_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        text = re.sub(r"```.*?```", "", (ROOT / name).read_text(), flags=re.S)
        links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
        broken = [link for link in links if "://" not in link and not (ROOT / link).exists()]
        assert broken == [], name


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130
    assert (DOCS / "demo.webp").stat().st_size < 2_000_000
