"""Changed and extreme inputs are read, or refused in one line."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from shls.runtime.batch.manifest import read_rows
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.evaluation.davis import find_sequences
from shls.runtime.formats.results import read_results
from shls.runtime.io.sources import open_source
from shls.runtime.io.uris import is_live
from shls.runtime.models.engine_info import read_sidecar, sidecar_path

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
LONG = "a" * 5000
DEEP = "[" * 20_000


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
def test_mutated_inputs(tmp_path: Path) -> None:
    command = [sys.executable, str(FUZZ), "--inputs", "60", "--seed", "7", "--keep", str(tmp_path / "failed")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 inputs, 0 failed" in done.stdout
    assert not (tmp_path / "failed").exists()


def test_deep_json(tmp_path: Path) -> None:
    results = tmp_path / "deep.jsonl"
    results.write_text(DEEP)
    with pytest.raises(BadInput, match="line 1: no result of a run"):
        read_results(results)
    engine = tmp_path / "a.engine"
    for text in (DEEP, "[]", "1", '{"contract": [], "machine": {}}'):
        sidecar_path(engine).write_text(text)
        with pytest.raises(ContractMismatch, match=r"a\.engine: its description|contract: "):
            read_sidecar(engine)


def test_long_names(tmp_path: Path) -> None:
    (tmp_path / "set.txt").write_text(LONG)
    (tmp_path / "pairs.txt").write_text(f"{LONG}/0.jpg {LONG}/0.png")
    for name in ("set.txt", "pairs.txt"):
        with pytest.raises(BadInput, match=f"{name}: a sequence cannot be found"):
            find_sequences(tmp_path, tmp_path / name)
    (tmp_path / "list.txt").write_text(f"{LONG}.mp4")
    with pytest.raises(BadInput, match="line 1: not the name of a video"):
        read_rows([str(tmp_path / "list.txt")], io.StringIO())
    assert is_live("9" * 5000)


def test_a_start_of_many_digits(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"video,start\na.mp4,{'9' * 5000}\n")
    with pytest.raises(BadInput, match="line 2: wrong start"):
        read_rows([str(tmp_path / "list.csv")], io.StringIO())


def test_a_title_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "TITLE"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 96, 64
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert content.count(b"TITLE") >= 1
    path.write_bytes(content.replace(b"TITLE", b"na\xefve"))
    with open_source(path) as source:
        assert len(list(source)) == 1


def test_messages_have_one_line(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text('video,box\na.mp4,"1,2\n3"\n')
    with pytest.raises(BadInput) as error:
        read_rows([str(tmp_path / "list.csv")], io.StringIO())
    assert "\n" not in str(error.value)
