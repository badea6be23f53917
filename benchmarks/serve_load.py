"""Load test of `shls serve`: frames per second and memory with and without viewers, some of which hang.

    python benchmarks/serve_load.py --seconds 600

The server follows the rabbit of the shipped clip, looped. Rounds without and with viewers alternate, so that other work
of the machine falls on both. A viewer reads each picture and asks for the next; a hanging viewer connects and reads
nothing. The recording's own pace, 25 frames per second, is the most that can be reached.
Exits with 1 if viewers cost more than the permitted ratio of the frames per second.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from common import above_zero, at_least, described, plainly
from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.errors import BadInput

START = 900.0
"""Longest time until the server answers, seconds: the first start on a machine compiles the kernels."""
SHLS = [sys.executable, "-c", "from shls.runtime.cli.entry import run; run()"]


class Server:
    """`shls serve` in a process of its own."""

    def __init__(self) -> None:
        command = [*SHLS, "serve", str(ASSETS / "bunny.mp4"), "--mask", str(ASSETS / "bunny_mask.png"), "--loop"]
        self._process = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.startswith("page: "):
                self.address = line.split()[1].rstrip("/")
                break
        else:
            raise BadInput("serve_load: the server did not start. Run `shls serve` by hand")
        self._wait_for_frames()

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.address}/api/status", timeout=60) as answer:
            return dict(json.load(answer))

    def memory(self) -> float:
        """Resident memory, MB."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def processor(self) -> float:
        """CPU time so far, seconds."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def _wait_for_frames(self) -> None:
        end = time.monotonic() + START
        while time.monotonic() < end:
            if self.status()["timeline"] > 3:
                return
            time.sleep(1)
        raise BadInput(f"serve_load: no frame was followed within {START:.0f} s. Run `shls serve` by hand")


async def watch(address: str, pictures: list[int]) -> None:
    """Be a viewer: read each picture, and ask for the next."""
    from websockets.asyncio.client import connect

    async with connect(f"ws{address[4:]}/ws", max_size=None, compression=None) as page:
        async for message in page:
            if isinstance(message, bytes):
                pictures[0] += 1
                await page.send('{"type": "shown"}')


def hang(address: str) -> socket.socket:
    """Open a WebSocket and read nothing more."""
    host, _, port = address.removeprefix("http://").partition(":")
    opened = socket.create_connection((host, int(port)))
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ["GET /ws HTTP/1.1", f"Host: {host}:{port}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
    opened.sendall("\r\n".join(lines).encode())
    return opened


async def measure(server: Server, seconds: float, watching: int, hanging: int) -> dict[str, float]:
    """Return frames per second, CPU seconds per frame, pictures per second and viewer, and memory, over one round."""
    pictures = [0]
    tasks = [asyncio.create_task(watch(server.address, pictures)) for _ in range(watching)]
    sockets = [hang(server.address) for _ in range(hanging)]
    await asyncio.sleep(1)
    begun, first, cpu, seen = time.monotonic(), await asyncio.to_thread(server.status), server.processor(), pictures[0]
    await asyncio.sleep(seconds)
    last, spent = await asyncio.to_thread(server.status), time.monotonic() - begun
    frames = last["timeline"] - first["timeline"]
    failed = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for one in sockets:
        one.close()
    if failed:
        raise BadInput(f"serve_load: {len(failed)} viewers were disconnected. Look at the server's messages")
    return {
        "fps": frames / spent,
        "cpu": (server.processor() - cpu) / max(1, frames),
        "pictures": (pictures[0] - seen) / spent / max(1, watching),
        "memory": server.memory(),
    }


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--seconds", type=above_zero, default=120.0, help="length of the test, seconds; default 120")
    parser.add_argument("--rounds", type=at_least(1), default=3, help="pairs of rounds; default 3")
    parser.add_argument("--viewers", type=at_least(1), default=12, help="viewers, the hanging included; default 12")
    parser.add_argument("--hanging", type=at_least(0), default=4, help="viewers that hang; default 4")
    parser.add_argument("--ratio", type=above_zero, default=0.85, help="least ratio of frames per second; default 0.85")
    args = parser.parse_args()
    if args.hanging > args.viewers:
        raise BadInput(f"--hanging: more than --viewers (got {args.hanging} of {args.viewers}). Hang fewer")
    server = Server()
    each = args.seconds / (2 * args.rounds)
    watching = args.viewers - args.hanging
    rows: dict[str, list[dict[str, float]]] = {"none": [], "all": []}
    try:
        print(f"{'viewers':>16} {'frames/s':>9} {'CPU s/frame':>12} {'pictures/s each':>16} {'MB':>7}")
        for _ in range(args.rounds):
            for name, counts in (("none", (0, 0)), ("all", (watching, args.hanging))):
                row = asyncio.run(measure(server, each, *counts))
                rows[name].append(row)
                shown = "none" if name == "none" else f"{counts[0]} + {counts[1]} hang"
                print(
                    f"{shown:>16} {row['fps']:9.2f} {row['cpu']:12.3f} {row['pictures']:16.2f} {row['memory']:7.0f}",
                    flush=True,
                )
    finally:
        server.close()
    mean = {name: sum(row["fps"] for row in found) / len(found) for name, found in rows.items()}
    growth = rows["all"][-1]["memory"] - rows["none"][0]["memory"]
    ratio = mean["all"] / max(1e-9, mean["none"])
    print(f"frames per second: {mean['none']:.2f} without viewers, {mean['all']:.2f} with; ratio {ratio:.2f}")
    print(f"memory: {growth:+.1f} MB from the first round to the last")
    if ratio < args.ratio:
        sys.exit(1)


if __name__ == "__main__":
    plainly(main)
