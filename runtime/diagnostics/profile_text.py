"""Lay out one profile, or two profiles side by side, as text for the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import BadInput
from .profile_figures import Profile, warnings_of
from .profiler import SCHEMA

COLUMNS = ("min", "mean", "p50", "p90", "p95", "p99", "max", "std")
SAME = ("source", "frame_size", "objects", "overlap")
"""Parts of the setup that two profiles must share to be comparable."""
SHOWN_LAYERS = 8
"""Number of layers in the table."""

COMPARED = {"setup", "machine", "stages", "fps", "peak_rss_mb", "peak_device_mb", "device"}
"""Parts of a profile that a comparison needs."""


def read_profile(path: Path) -> Profile:
    """Read a file that `shls profile --json` wrote.

    Raises
    ------
    BadInput
        If the file cannot be read, or is not a profile of this schema.

    Examples
    --------
    >>> read_profile(Path("absent.json"))
    Traceback (most recent call last):
        ...
    shls.runtime.errors.BadInput: absent.json: cannot be read (No such file or directory). Give a file of ...
    """
    advice = "Give a file of `shls profile --json`."
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}). {advice}") from error
    except ValueError as error:
        raise BadInput(f"{path}: not JSON ({error}). {advice}") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        schema = found.get("schema") if isinstance(found, dict) else type(found).__name__
        raise BadInput(f"{path}: not a profile (got schema {schema}, expected {SCHEMA}). Measure again.")
    if missing := COMPARED - found.keys():
        raise BadInput(f"{path}: incomplete profile (lacks {', '.join(sorted(missing))}). Measure again.")
    return found


def table(found: Profile) -> str:
    """Return a profile as a table of text.

    Examples
    --------
    >>> print(table(read_profile(Path("profile.json"))))  # doctest: +SKIP
    """
    setup, stages = found["setup"], found["stages"]
    lines = [
        f"{setup['network']} {setup['precision']} {_size(setup['network_size'])} on {setup['backend']}, "
        f"{setup['threads']} threads",
        f"refiner: {setup['refiner'] or 'none, the pixel filter decides pixels'}",
        f"{setup['source']} {_size(setup['frame_size'])}, {found['frames']} frames "
        f"in {found['seconds']:.1f} s, stages {'overlapped' if setup['overlap'] else 'in sequence'}",
        f"warm-up {found['warm_up_s']:.1f} s, not included in the times",
        "",
        f"{'ms':<12}" + "".join(f"{column:>9}" for column in COLUMNS),
    ]
    order = sorted(stages, key=lambda stage: (stage == "frame", stage == "segment"))
    lines += [f"{stage:<12}" + "".join(f"{stages[stage][column]:9.2f}" for column in COLUMNS) for stage in order]
    lines += ["", f"{found['fps']:.2f} frames per second, peak memory {memory(found)}"]
    cost = found["stopwatch"]
    lines.append(
        f"the parts sum up to {found['parts']['of_frame']:.1%} of a frame{' because they overlap' * setup['overlap']}; "
        f"measuring takes {cost['of_frame']:.3%} of it ({cost['stages_a_frame']:.0f} stages, "
        f"{cost['us_a_stage']:.1f} us each)"
    )
    lines += _device_lines(found) + _layer_lines(found["layers"])
    return "\n".join(lines + [f"warning: {warning}" for warning in warnings_of(found)])


def memory(found: Profile) -> str:
    """Return the peak memory of the process and of devices in words.

    Examples
    --------
    >>> memory({"peak_rss_mb": 812.0, "peak_device_mb": {"gpu": 900.0}})
    '812 MB, gpu 900 MB in use by all programs'
    """
    words = [f"{found['peak_rss_mb']:.0f} MB"]
    return ", ".join(
        words + [f"{name} {value:.0f} MB in use by all programs" for name, value in found["peak_device_mb"].items()]
    )


def compare(first: Profile, second: Profile) -> str:
    """Return two profiles side by side as text, with ratios of the second over the first.

    Raises
    ------
    BadInput
        If the profiles differ in source, frame size, number of objects or overlap, or only one of them has a refiner.

    Examples
    --------
    >>> first, second = (read_profile(Path(name)) for name in ("a.json", "b.json"))  # doctest: +SKIP
    >>> print(compare(first, second))  # doctest: +SKIP
    """
    differ = [key for key in SAME if first["setup"][key] != second["setup"][key]]
    if (first["setup"]["refiner"] is None) != (second["setup"]["refiner"] is None):
        differ.append("refiner")
    if differ:
        pairs = ((key, first["setup"][key], second["setup"][key]) for key in differ)
        values = "; ".join(f"{key} {one} and {other}" for key, one, other in pairs).replace("None", "none")
        raise BadInput(
            f"the profiles are not comparable: {values}. Measure both on the same source with the same options."
        )
    shown = ("network", "precision", "network_size", "backend", "refiner", "threads")
    rows = [(key, str(first["setup"][key]), str(second["setup"][key]), "") for key in shown]
    rows.append(("processor", first["machine"]["processor"], second["machine"]["processor"], ""))
    for stage in first["stages"]:
        if stage in second["stages"]:
            for column in ("p50", "p99"):
                pair = first["stages"][stage][column], second["stages"][stage][column]
                rows.append((f"{stage} {column} ms", *_pair(*pair)))
    for key in ("fps", "peak_rss_mb"):
        rows.append((key, *_pair(first[key], second[key])))
    for name in first["peak_device_mb"].keys() & second["peak_device_mb"].keys():
        rows.append((f"peak {name} MB", *_pair(first["peak_device_mb"][name], second["peak_device_mb"][name])))
    for key in ("watts", "joules_per_frame"):
        if None not in (one := first["device"][key], other := second["device"][key]):
            rows.append((key, *_pair(one, other)))
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _pair(first: float, second: float) -> tuple[str, str, str]:
    return f"{first:.2f}", f"{second:.2f}", f"x {second / first:.2f}" if first else ""


def _device_lines(found: Profile) -> list[str]:
    device, lines = found["device"], list[str]()
    if found["drift"]:
        drift = found["drift"]
        lines.append(f"first minute {drift['first_minute']:.1f} ms a frame, last minute {drift['last_minute']:.1f} ms")
    if device["watts"] is not None:
        lines.append(f"{device['watts']:.1f} W, {device['joules_per_frame']:.3f} J per frame")
    heat = [value for sample in device["samples"] for value in sample["temperatures"].values()]
    if heat:
        lines.append(f"{min(heat):.0f} to {max(heat):.0f} C")
    if not device["samples"]:
        lines.append("no readings of clocks, temperatures or power on this system")
    return lines


def _layer_lines(layers: list[dict[str, Any]]) -> list[str]:
    if not layers:
        return []
    rows = layers[1 : 1 + SHOWN_LAYERS]
    lines = ["", f"slowest of {len(layers) - 1} layers, measured alone under onnxruntime's profiler:"]
    return lines + [
        f"  {row['averageMs']:8.3f} ms {row['percentage']:5.1f} %  {row['type']:<14} {row['name'][:50]}" for row in rows
    ]


def _size(size: list[int]) -> str:
    return f"{size[0]}x{size[1]}"
