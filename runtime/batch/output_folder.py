"""Folder of a batch: what earlier runs finished, what they failed at, and a lock against two runs at once."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._support.files import replace_file
from ..errors import BadInput
from .tasks import Outcome

RESULT = "result.json"
"""Record in the folder of a finished video."""
BATCH = "batch.json"
"""Record of the models and settings that all results of a folder share."""
WORK, FAILED, LOCK = ".work", ".failed", ".lock"
"""Hidden entries: unfinished results, records of failures, and the lock file."""


def work_folder(out: Path, output: str) -> Path:
    """Return the folder in which a result is written until it is whole.

    Examples
    --------
    >>> work_folder(Path("out"), "night/a").as_posix()
    'out/.work/night%2Fa'
    """
    return out / WORK / quote(output, safe="")


class OutputFolder:
    """Results of a batch on disk.

    Parameters
    ----------
    path : folder; it is made if it is missing

    Raises
    ------
    BadInput
        If the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as path:
    ...     OutputFolder(Path(path)).kept("a", "00") is None
    True
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            (path / WORK).mkdir(parents=True, exist_ok=True)
            (path / FAILED).mkdir(exist_ok=True)
        except OSError as error:
            raise BadInput(f"{path}: cannot be written ({error.strerror}). Choose another --out") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; raises BadInput if another run holds it. Unfinished results of a killed run are deleted."""
        with (self.path / LOCK).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BadInput(
                    f"{self.path}: another batch is running in this folder (expected one at a time). Wait for it to "
                    "end, or choose another --out"
                ) from error
            except OSError:  # a file system without locks
                pass
            self._clear()
            yield

    def check_settings(self, fingerprint: dict[str, Any], replace: bool = False) -> None:
        """Raise BadInput if earlier results were made by another model, version or settings, unless `replace`."""
        file = self.path / BATCH
        known = _read(file)
        if known is not None and known != fingerprint and not replace:
            changed = [key for key in fingerprint if known.get(key) != fingerprint[key]]
            was = ", ".join(f"{key} {_short(known.get(key))}" for key in changed)
            now = ", ".join(f"{key} {_short(fingerprint[key])}" for key in changed)
            raise BadInput(
                f"{self.path}: has results of other settings (got {was}; expected {now}). Choose another --out, or "
                "give --replace to compute them anew"
            )
        if known != fingerprint:
            replace_file(file, (json.dumps(fingerprint, indent=2) + "\n").encode())

    def check_place(self, task_folder: Path) -> None:
        """Raise BadInput if a folder exists that is no result of a batch and would be replaced."""
        if task_folder.exists() and not (task_folder / RESULT).is_file():
            raise BadInput(
                f"{task_folder}: exists and is no result of `shls batch` (expected no such folder). Move it away, or "
                "give the row another output"
            )

    def known(self, output: str) -> Outcome | None:
        """Return the record of a finished video; None if there is none that can be read."""
        values = _read(self.path / output / RESULT)
        return _outcome(values)

    def kept(self, output: str, key: str) -> Outcome | None:
        """Return the record of a finished video if its key is this one."""
        outcome = self.known(output)
        return outcome if outcome is not None and outcome.key == key else None

    def has_failed(self, output: str) -> bool:
        """Return whether there is a record of a failure, of any key."""
        return self._failure_file(output).exists()

    def failed(self, output: str, key: str) -> Outcome | None:
        """Return the record of an earlier failure with this key."""
        outcome = _outcome(_read(self._failure_file(output)))
        return outcome if outcome is not None and outcome.key == key else None

    def record_failure(self, outcome: Outcome) -> None:
        """Keep the reason of a failure; an earlier record is replaced."""
        replace_file(self._failure_file(outcome.output), (json.dumps(outcome.to_dict(), indent=1) + "\n").encode())

    def forget_failure(self, output: str) -> None:
        """Delete the record of a failure, if there is one."""
        with suppress(OSError):
            self._failure_file(output).unlink(missing_ok=True)

    def _failure_file(self, output: str) -> Path:
        return self.path / FAILED / f"{quote(output, safe='')}.json"

    def _clear(self) -> None:
        """Delete unfinished results; put back an older result that was about to be replaced."""
        for entry in (self.path / WORK).iterdir():
            record = _outcome(_read(entry / RESULT)) if entry.name.endswith(".old") else None
            if record is not None and not (self.path / record.output).exists():
                os.rename(entry, self.path / record.output)
            else:
                shutil.rmtree(entry, ignore_errors=True)


def finished(out: Path) -> list[Outcome]:
    """List the finished videos of a batch's folder, by name.

    Raises
    ------
    BadInput
        If the folder is not one of a batch.

    Examples
    --------
    >>> finished(Path("out"))  # doctest: +SKIP
    [Outcome(output='a', ...)]
    """
    if not (out / BATCH).is_file():
        raise BadInput(f"{out}: no folder of `shls batch` (expected a file {BATCH} in it). Name the --out of a batch")
    found = [_outcome(_read(file)) for file in sorted(out.glob(f"**/{RESULT}")) if WORK not in file.parts]
    return [outcome for outcome in found if outcome is not None]


def _read(file: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _outcome(values: dict[str, Any] | None) -> Outcome | None:
    if values is None or not {"output", "video", "state", "key"} <= values.keys():
        return None
    return Outcome.from_dict(values)


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
