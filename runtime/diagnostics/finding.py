"""What `shls doctor` tells of one thing."""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["OK", "warning", "problem"]


class Finding(NamedTuple):
    """One line of the report; `fix` is empty where there is nothing to do."""

    name: str
    status: Status
    text: str
    fix: str = ""
