"""Power of a PC's processor and memory, from the energy counters below Linux' powercap folder (RAPL)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ._sysfs import ROOT
from .sensors import Sample

ZONES = "sys/class/powercap/intel-rapl:*"
"""AMD's counters have the same name. `intel-rapl-mmio` counts the same energy a second time."""
PARTS = ("core", "uncore")
"""Zones whose energy is included in the energy of their package."""
SOONEST = 0.1
"""Least seconds between two readings: the counters advance each millisecond, so shorter spans are inexact."""


class Powercap:
    """Power readings from energy counters; the first reading has none.

    Parameters
    ----------
    root : root of the file system
    clock : function that returns seconds

    Examples
    --------
    >>> Powercap(Path("/no/such/tree")).read().power
    {}
    """

    def __init__(self, root: Path = ROOT, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._zones = clock, _zones(root)
        self._last: tuple[float, dict[str, int]] | None = None
        self._power: dict[str, float] = {}

    def read(self) -> Sample:
        """Return zone -> mean watts since the last reading, as the sample's `power`.

        A reading sooner than 0.1 s after the last one repeats the last result.

        Examples
        --------
        >>> meter = Powercap()
        >>> meter.read().power
        {}
        """
        now = self._clock()
        if self._last is not None and now - self._last[0] < SOONEST:
            return Sample(power=self._power)
        energies = {name: energy for name, zone in self._zones.items() if (energy := _whole(zone / "energy_uj")) >= 0}
        if self._last is not None:
            before, known = self._last
            self._power = {
                name: self._spent(name, known[name], energy) / (now - before) / 1e6
                for name, energy in energies.items()
                if name in known
            }
        self._last = now, energies
        return Sample(power=self._power)

    def _spent(self, name: str, before: int, after: int) -> int:
        """Return the microjoules between two readings of a counter that wraps around."""
        if after >= before:
            return after - before
        return after - before + max(0, _whole(self._zones[name] / "max_energy_range_uj"))


def hidden(root: Path = ROOT) -> bool:
    """Return True if the machine has energy counters and only root may read them.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> hidden(Path("/no/such/tree"))
    False
    """
    zones = _zones(root).values()
    return bool(zones) and all(_whole(zone / "energy_uj") < 0 for zone in zones)


def _zones(root: Path) -> dict[str, Path]:
    """Return name -> folder; the zone's number is appended where several sockets have a zone of one name."""
    found: dict[str, Path] = {}
    for zone in sorted(root.glob(ZONES)):
        try:
            name = (zone / "name").read_text().strip()
        except OSError:
            continue
        if name not in PARTS:
            found[name if name not in found else f"{name} {zone.name.partition(':')[2]}"] = zone
    return found


def _whole(file: Path) -> int:
    """Return the number in a file, or -1 if it is missing or not readable."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return -1
