"""Findings of the doctor, on this machine and on recorded machines with problems."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shls.runtime.cli import main as cli
from shls.runtime.diagnostics import doctor
from shls.runtime.diagnostics.doctor import check_cameras, check_device, check_memory, examine
from shls.runtime.diagnostics.finding import Finding, Status
from shls.runtime.errors import MissingDependency


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_this_machine() -> None:
    findings = examine()
    named = {finding.name: finding for finding in findings}
    assert {"Python", "numpy", "numba cache", "OpenCV", "onnxruntime", "  CPU", "memory", "disk"} <= set(named)
    assert named["  CPU"].status == "OK"
    assert all(finding.fix for finding in findings if finding.status != "OK"), "each lack with its fix"
    assert not any("\n" in finding.text + finding.fix for finding in findings)


@pytest.mark.parametrize("package", ["numpy", "numba", "cv2", "av", "onnxruntime"])
def test_a_package_is_missing(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    problems = [finding for finding in examine() if finding.status == "problem"]
    assert problems
    assert any("cannot be imported" in finding.text for finding in problems)


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    names = [finding.name for finding in examine(tmp_path)]
    assert "disk" in names
    assert "cameras" in names


def test_a_jetson_in_a_slow_mode_hot_and_throttled(tmp_path: Path) -> None:
    thermal = "sys/class/thermal"
    write(
        tmp_path,
        {
            "proc/device-tree/model": "NVIDIA Jetson Orin NX\0",
            "etc/nv_tegra_release": "# R36 (release), REVISION: 4.0",
            "var/lib/nvpmodel/status": "pmode:0003",
            "etc/nvpmodel.conf": "< POWER_MODEL ID=3 NAME=MODE_10W >",
            f"{thermal}/thermal_zone0/type": "tj",
            f"{thermal}/thermal_zone0/temp": "97000",
            f"{thermal}/cooling_device0/type": "gpu",
            f"{thermal}/cooling_device0/cur_state": "1",
        },
    )
    found = {finding.name: finding for finding in check_device(tmp_path)}
    assert found["board"].text == "NVIDIA Jetson Orin NX, L4T 36.4.0, JetPack 6.1 or 6.2"
    assert (found["power mode"].text, found["power mode"].status) == ("MODE_10W", "warning")
    assert (found["temperature"].text, found["temperature"].status) == ("97 C at tj", "warning")
    assert found["throttling"].text == "clocks are reduced now by gpu at 1 of ?"


def test_a_processor_whose_energy_only_root_may_read(tmp_path: Path) -> None:
    zone = "sys/class/powercap/intel-rapl:0"
    write(tmp_path, {f"{zone}/name": "package-0"})
    (tmp_path / f"{zone}/energy_uj").mkdir()  # root may read every file, but no folder
    found = {finding.name: finding for finding in check_device(tmp_path)}
    assert found["power"].status == "warning"
    assert "chmod a+r" in found["power"].fix


def test_the_fix_names_the_package_and_not_the_module() -> None:
    def absent() -> Iterator[Finding]:
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")
        yield

    (finding,) = doctor._guarded("OpenCV", absent)
    assert finding.fix == "run `pip install --force-reinstall opencv-python`"


@pytest.mark.parametrize(("available", "status"), [(4_000_000, "OK"), (700_000, "warning"), (99_000, "problem")])
def test_memory(available: int, status: str, tmp_path: Path) -> None:
    write(
        tmp_path,
        {"proc/meminfo": f"MemTotal: 8000000 kB\nMemAvailable: {available} kB\nHugePages_Total: 0\n"},
    )
    assert next(check_memory(tmp_path)).status == status


def test_cameras(tmp_path: Path) -> None:
    names = {
        "sys/class/video4linux/video0/name": "UVC Camera\n",
        "sys/class/video4linux/video2/name": "Other\n",
    }
    write(tmp_path, names | {"dev/video0": ""})
    good, bad = check_cameras(tmp_path)
    assert (good.status, good.text) == ("OK", "video0: UVC Camera")
    assert bad.status == "warning"
    assert "usermod -aG video" in bad.fix


@pytest.mark.parametrize(("status", "code"), [("OK", 0), ("warning", 0), ("problem", 1)])
def test_command(status: Status, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("thing", status, "is so", "mend it")])
    result = CliRunner().invoke(cli.app, ["doctor", "--json", str(tmp_path / "found.json")])
    assert result.exit_code == code
    assert result.stdout == f"{status:<8} thing          is so -> mend it\n"
    assert json.loads((tmp_path / "found.json").read_text()) == [
        {"name": "thing", "status": status, "text": "is so", "fix": "mend it"}
    ]


def test_an_error_of_ours_says_itself_what_to_do() -> None:
    def refused() -> Iterator[Finding]:
        raise MissingDependency("onnxruntime: not installed. Run `pip install onnxruntime`.")
        yield

    (finding,) = doctor._guarded("model", refused)
    assert (finding.text, finding.fix) == ("onnxruntime: not installed. Run `pip install onnxruntime`.", "")
