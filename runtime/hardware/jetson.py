"""Names, versions and power modes of NVIDIA Jetson boards, and their monitor tegrastats."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from threading import Thread

from ._sysfs import ROOT, text
from .sensors import OFF, Sample

JETPACK = {
    "32.7": "4.6",
    "35.4": "5.1.2",
    "35.5": "5.1.3",
    "35.6": "5.1.4",
    "36.3": "6.0",
    "36.4": "6.1 or 6.2",
    "38.2": "7.0",
    "38.4": "7.1",
}
"""L4T's version -> JetPack's version."""
SYSTEM = {
    "36.4": ("3.10", "10.3"),
    "38.4": ("3.12", "10.13"),
}
"""L4T's version -> versions of Python and of TensorRT that JetPack's TensorRT module is for."""
CLOCK = re.compile(r"\b(GR3D_FREQ|EMC_FREQ) \d+%@\[?(\d+)")
CORE = re.compile(r"\d+%@(\d+)")
TEMPERATURE = re.compile(r"\b(\w+)@(-?[\d.]+)C\b")
MEMORY = re.compile(r"\bRAM (\d+)/\d+MB")
POWER = re.compile(r"\b([A-Z][A-Z0-9_]+) (\d+)mW/\d+mW")


def jetson_model(root: Path = ROOT) -> str | None:
    """Return the board's name from the device tree, or None without a device tree.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> print(jetson_model(Path("/no/such/tree")))
    None
    """
    model = text(root / "proc/device-tree/model")
    return model.rstrip("\0") if model else None


def l4t_release(root: Path = ROOT) -> str | None:
    """Return L4T's version from /etc/nv_tegra_release, or None off Jetsons.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     Path(root, "etc").mkdir()
    ...     _ = Path(root, "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 1")
    ...     l4t_release(Path(root))
    '36.4.3'
    """
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text(root / "etc/nv_tegra_release") or "")
    return f"{match.group(1)}.{match.group(2)}" if match else None


def jetpack_of(l4t: str) -> str | None:
    """Return JetPack's version for a version of L4T, or None where that is unknown.

    Examples
    --------
    >>> jetpack_of("36.4.3")
    '6.1 or 6.2'
    """
    return JETPACK.get(".".join(l4t.split(".")[:2]))


def system_of(l4t: str) -> tuple[str, str] | None:
    """Return the versions of Python and TensorRT of JetPack's TensorRT module, or None where they are unknown.

    Examples
    --------
    >>> system_of("36.4.3")
    ('3.10', '10.3')
    """
    return SYSTEM.get(".".join(l4t.split(".")[:2]))


def power_mode(root: Path = ROOT) -> str | None:
    """Return the power mode's name that nvpmodel has set, such as "MAXN", or None off Jetsons.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> print(power_mode(Path("/no/such/tree")))
    None
    """
    status = re.search(r"pmode:(\d+)", text(root / "var/lib/nvpmodel/status") or "")
    if not status:
        return None
    mode = int(status.group(1))
    names = text(root / "etc/nvpmodel.conf") or ""
    match = re.search(rf"<\s*POWER_MODEL\s+ID=0*{mode}\s+NAME=(\w+)", names)
    return match.group(1) if match else f"mode {mode}"


def parse_tegrastats(line: str) -> Sample:
    """Parse one line of tegrastats, of JetPack 4 or later; values that the line lacks are left out.

    Examples
    --------
    >>> sample = parse_tegrastats("RAM 1903/3964MB GR3D_FREQ 0%@76 GPU@31C POM_5V_IN 2156mW/2156mW")
    >>> sample.clocks, sample.temperatures, sample.watts, sample.memory
    ({'gpu': 76.0}, {'GPU': 31.0}, 2.156, {'shared': 1903.0})
    """
    clocks = {{"GR3D_FREQ": "gpu", "EMC_FREQ": "memory"}[name]: float(value) for name, value in CLOCK.findall(line)}
    cpu = re.search(r"CPU \[([^\]]*)\]", line)
    if cpu and (cores := CORE.findall(cpu.group(1))):
        clocks["cpu"] = float(max(int(core) for core in cores))
    temperatures = {name: float(value) for name, value in TEMPERATURE.findall(line) if float(value) > OFF}
    power = {name: int(value) / 1000 for name, value in POWER.findall(line)}
    ram = MEMORY.search(line)
    return Sample(0.0, clocks, temperatures, power, memory={"shared": float(ram.group(1))} if ram else {})


class Tegrastats:
    """Context manager that runs tegrastats, for boards whose /sys has no power readings.

    Without the program, `read` returns empty samples.

    Examples
    --------
    >>> with Tegrastats() as monitor:
    ...     isinstance(monitor.read(), Sample)
    True
    """

    def __init__(self) -> None:
        self._newest = Sample()
        self._process: subprocess.Popen[str] | None = None

    def read(self) -> Sample:
        """Return the sample of the newest line.

        Examples
        --------
        >>> Tegrastats().read() == Sample()
        True
        """
        return self._newest

    def __enter__(self) -> Tegrastats:
        if program := shutil.which("tegrastats"):
            command = [program, "--interval", "1000"]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            Thread(target=self._follow, args=(self._process,), name="tegrastats", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self._newest = parse_tegrastats(line)
