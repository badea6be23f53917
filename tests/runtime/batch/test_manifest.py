"""Rows of a batch from manifests, folders, patterns and lists, and what is refused."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import pytest

from shls.runtime.batch.manifest import read_rows
from shls.runtime.batch.tasks import Row
from shls.runtime.errors import BadInput, MissingDependency
from shls.runtime.prompts.prompt import Prompt


def rows(*inputs: object, stdin: str = "", default: Row | None = None) -> list[Row]:
    return read_rows(map(str, inputs), io.StringIO(stdin), default)


def refused(*inputs: object, stdin: str = "") -> str:
    with pytest.raises(BadInput) as error:
        rows(*inputs, stdin=stdin)
    return str(error.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Videos by name only: reading the rows opens none."""
    for name in ("2.mp4", "10.mkv", "night/b.mp4", "notes.md", ".hidden.mp4", "2.png", "10_mask.png", "night/b.json"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('[{"frame": 3, "box": [1, 1, 5, 5]}]' if name.endswith("json") else "")
    return tmp_path / "videos"


def test_a_folder_with_marks_beside_the_videos(folder: Path) -> None:
    found = rows(folder)
    assert [row.output for row in found] == ["2", "10", "night/b"], "in natural order, hidden files left out"
    assert [row.mask and row.mask.name for row in found] == ["2.png", "10_mask.png", None]
    assert found[2].prompt_file == folder / "night/b.json"


def test_a_folder_of_images_with_a_mask_is_a_video(folder: Path) -> None:
    (folder / "frames").mkdir()
    (folder / "frames/0.jpg").touch()
    (folder / "frames.png").touch()
    (folder / "unmarked").mkdir()
    (folder / "unmarked/0.jpg").touch()
    assert [row.output for row in rows(folder)] == ["2", "10", "frames", "night/b"]


def test_a_pattern(folder: Path) -> None:
    assert [row.output for row in rows(folder / "**" / "*.mp4")] == ["2", "night/b"]
    assert "no videos" in refused(folder / "*.avi")


def test_a_list_on_standard_input(folder: Path) -> None:
    found = rows("-", stdin=f"{folder}/2.mp4\n\n# a comment\n{folder}/10.mkv\n")
    assert [(row.output, row.where) for row in found] == [
        ("2", "standard input, line 1"),
        ("10", "standard input, line 4"),
    ]
    assert "no videos" in refused("-", stdin="\n")


def test_csv_passes_columns_through(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(
        "video,output,box,point,object,start,camera\n"
        'a.mp4,north/a,"1,2,30,40;5,6,7,8",,,,north\n'
        'b.mp4,,,"3,4","name=dog box=1,2,3,4 mask=m.png",7,\n'
    )
    one, two = rows(path)
    assert (one.video, one.output, one.columns) == (str(tmp_path / "a.mp4"), "north/a", {"camera": "north"})
    assert [prompt.boxes[0] for prompt in one.prompts] == [(1, 2, 30, 40), (5, 6, 7, 8)]
    assert (two.output, two.start, two.prompts[0].points) == ("b", 7, ((3, 4),))
    assert two.prompts[1].name == "dog"
    assert two.prompts[1].mask == tmp_path / "m.png"


def test_json_lines_keep_types(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    values = {"video": "a.mp4", "box": [[1, 2, 30, 40]], "point": [3, 4], "start": 2, "mask": None, "night": True}
    path.write_text(json.dumps(values) + "\n\n")
    (row,) = rows(path)
    assert [prompt.label for prompt in row.prompts] == ["box 1,2,30,40", "point 3,4"]
    assert row.columns == {"night": True}
    assert (row.start, row.mask) == (2, None)


def test_marks_of_the_options_are_for_rows_without_own_marks(folder: Path) -> None:
    (folder / "plain.mp4").touch()
    default = Row("options", "", "", prompts=(Prompt(boxes=((1, 2, 3, 4),)),))
    found = {row.output: row for row in rows(folder, default=default)}
    assert found["plain"].prompts == default.prompts
    assert found["2"].prompts == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\na.mp4\n", "list.csv: no column video (got name). Name the columns in the first line"),
        ("video,start\na.mp4,-1\n", "list.csv, line 2: wrong start (got '-1', expected the number of a frame, from 0)"),
        ("video,box\na.mp4,1;2\n", "list.csv, line 2: "),
        ("video\na.mp4,b\n", "list.csv, line 2: too many values"),
        ("video,output\na.mp4,../x\n", "list.csv, line 2: wrong output (got '../x', expected a name below"),
        ("video,output\na.mp4,/x\n", "wrong output"),
        ("video,output\na.mp4,x\nb.mp4,x\n", "list.csv, line 3: output x is that of another row (got "),
        ("video,output\na.mp4,x\nb.mp4,X\n", "output X is that of another row"),
        ("video,output\na.mp4,x\nb.mp4,x/y\n", "list.csv, line 3: output x/y is inside that of another row"),
        ("video\n", "batch: no videos"),
    ],
)
def test_bad_tables(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(text)
    assert message in refused(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "list.jsonl, line 1: not JSON"),
        ("[1]", "list.jsonl, line 1: not an object"),
        ('{"video": 3}', "list.jsonl, line 1: no video (got 3, expected a name)"),
        ('{"video": "a.mp4", "mask": 3}', "list.jsonl, line 1: wrong mask (got 3, expected the name of a file)"),
    ],
)
def test_bad_json_lines(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text(text)
    assert message in refused(tmp_path / "list.jsonl")


def test_a_missing_manifest() -> None:
    assert refused("none.csv") == "none.csv: no such manifest. Correct the name"


def test_object_storage_by_a_pattern(tmp_path: Path) -> None:
    pytest.importorskip("fsspec", reason="the package fsspec is not installed")
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as file:
        for name in ("night/a.mp4", "night/b.mp4"):
            file.writestr(name, "")
    found = rows(f"zip://night/*.mp4::{tmp_path}/clips.zip")
    assert [(row.output, row.video) for row in found] == [
        (name, f"zip://night/{name}.mp4::{tmp_path}/clips.zip") for name in "ab"
    ]
    assert "cannot be read" in refused(f"zip://*.mp4::{tmp_path}/none.zip")
    with pytest.raises(MissingDependency, match=r"abfs://bucket/.*: cannot be opened \(Install adlfs"):
        rows("abfs://bucket/*.mp4")


def test_object_storage_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingDependency, match="Install the extra 'remote' of shls"):
        rows("s3://bucket/*.mp4")
