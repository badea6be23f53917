"""Names of Jetson boards, and lines of tegrastats as boards print them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shls.runtime.hardware.jetson import (
    Tegrastats,
    jetpack_of,
    jetson_model,
    l4t_release,
    parse_tegrastats,
    power_mode,
)
from shls.runtime.hardware.sensors import Sample
from tests.runtime.hardware.test_sensors import orin

ORIN = (
    "11-22-2026 10:00:00 RAM 3041/7620MB (lfb 6x4MB) SWAP 0/3810MB (cached 0MB) "
    "CPU [12%@1510,3%@1510,off,off,0%@729,0%@729] EMC_FREQ 4%@2133 GR3D_FREQ 61%@[624] NVDEC off "
    "cpu@48.187C soc2@47.5C soc0@46.8C gpu@48.6C tj@48.6C cv0@-256C "
    "VDD_IN 6012mW/5800mW VDD_CPU_GPU_CV 2011mW/1800mW VDD_SOC 1501mW/1490mW"
)
NANO = (
    "RAM 1903/3964MB (lfb 120x4MB) SWAP 0/1982MB (cached 0MB) CPU [22%@1479,18%@1479,15%@1479,off] "
    "EMC_FREQ 2%@1600 GR3D_FREQ 0%@76 PLL@31C CPU@33.5C PMIC@100C GPU@31C AO@39C thermal@32.25C "
    "POM_5V_IN 2156mW/2156mW POM_5V_GPU 40mW/40mW POM_5V_CPU 403mW/403mW"
)


def test_a_jetson_s_names(tmp_path: Path) -> None:
    orin(tmp_path)
    assert jetson_model(tmp_path) == "NVIDIA Jetson Orin Nano Developer Kit"
    assert l4t_release(tmp_path) == "36.4.3"
    assert jetpack_of("36.4.3") == "6.1 or 6.2"
    assert jetpack_of("99.1.0") is None
    assert power_mode(tmp_path) == "MAXN_SUPER"
    (tmp_path / "etc/nvpmodel.conf").unlink()
    assert power_mode(tmp_path) == "mode 2"


def test_tegrastats_of_an_orin() -> None:
    sample = parse_tegrastats(ORIN)
    assert sample.clocks == {"memory": 2133, "gpu": 624, "cpu": 1510}
    assert sample.temperatures["tj"] == 48.6
    assert "cv0" not in sample.temperatures, "off"
    assert sample.watts == 6.012
    assert sample.memory == {"shared": 3041}, "GPU and CPU have one"


def test_tegrastats_of_a_nano_and_of_something_else() -> None:
    sample = parse_tegrastats(NANO)
    assert (sample.clocks["gpu"], sample.clocks["cpu"], sample.watts) == (76, 1479, 2.156)
    assert sample.temperatures["CPU"] == 33.5
    assert parse_tegrastats("tegrastats: not found") == Sample()


def test_tegrastats_runs_beside_and_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tegrastats"
    program.write_text(f"#!/bin/sh\necho '{NANO}'\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with Tegrastats() as monitor:
        for _ in range(1000):
            if monitor.read().watts:
                break
            time.sleep(0.01)
        assert monitor.read().watts == 2.156
        process = monitor._process
    assert process is not None
    assert process.returncode is not None


def test_no_tegrastats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with Tegrastats() as monitor:
        assert monitor.read() == Sample()
