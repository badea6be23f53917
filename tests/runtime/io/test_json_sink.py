"""JSON lines: complete at every moment, in a file, a pipe or on standard output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.json_sink import JsonLinesSink
from shls.runtime.io.rle import decode_rle
from shls.runtime.types import Mask
from tests.sink_inputs import file_size_limit, result, write_many


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    frame, mask = result(3)
    sink = JsonLinesSink(path)
    sink.write(frame, Mask(mask.labels, {2: 0.75, 7: 0.0}))
    (line,) = path.read_text().splitlines()  # before it is closed
    sink.close()
    read = json.loads(line)
    assert (read["frame"], read["time"]) == (3, 0.12)
    seen, lost = read["objects"]
    assert {key: seen[key] for key in ("id", "area", "box", "confidence")} == {
        "id": 2,
        "area": 100,
        "box": [8, 10, 10, 10],
        "confidence": 0.75,
    }
    assert (decode_rle(seen["rle"]) == (mask.labels == 2)).all()
    assert "lost" not in seen
    assert {key: lost[key] for key in ("id", "area", "box", "confidence", "lost")} == {
        "id": 7,
        "area": 0,
        "box": None,
        "confidence": 0.0,
        "lost": True,
    }
    assert not decode_rle(lost["rle"]).any()


def test_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    sink = JsonLinesSink(path)
    with file_size_limit(1000), pytest.raises(BadInput, match=r"\(File too large\)\. The lines before are complete"):
        write_many(sink)
    sink.close()
    lines = path.read_text()
    assert lines.endswith("\n")
    assert [json.loads(line)["frame"] for line in lines.splitlines()] == list(range(len(lines.splitlines())))
    assert lines


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be written \(Is a directory\)"):
        JsonLinesSink(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_device_without_space(tmp_path: Path) -> None:
    os.symlink("/dev/full", tmp_path / "o.jsonl")
    with pytest.raises(BadInput, match="No space left on device"), JsonLinesSink(tmp_path / "o.jsonl") as sink:
        sink.write(*result(0))


def test_a_named_pipe_gets_all_lines(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = Thread(target=lambda: read.extend((tmp_path / "pipe").read_text().splitlines()))
    reader.start()
    with JsonLinesSink(tmp_path / "pipe") as sink:
        for index in range(3):
            sink.write(*result(index))
    reader.join(10)
    assert [json.loads(line)["frame"] for line in read] == [0, 1, 2]


SCRIPT = """
import sys
from pathlib import Path
from shls.runtime.io.json_sink import JsonLinesSink
from tests.sink_inputs import result
with JsonLinesSink(Path(sys.argv[1])) as sink:
    for index in range(int(sys.argv[2])):
        sink.write(*result(index))
print("done")
"""


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "lines.txt"])
def test_standard_output_under_each_name_is_shared_with_print(name: str, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    with lines.open("w") as out:
        path = str(lines) if name == lines.name else name
        subprocess.run([sys.executable, "-c", SCRIPT, path, "2"], stdout=out, check=True, timeout=120)
    *read, last = lines.read_text().splitlines()
    assert [json.loads(line)["frame"] for line in read] == [0, 1]
    assert last == "done", "a later message does not overwrite the lines"
    assert os.listdir(tmp_path) == ["lines.txt"]


def test_a_reader_that_goes_away_is_one_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "-", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["frame"] == 0
    process.stdout.close()
    said = process.stderr.read()
    process.wait(60)
    assert said.count("BadInput: standard output: cannot be written (Broken pipe)") == 1
    assert "Exception ignored" not in said
