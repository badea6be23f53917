"""One result of `shls doctor`."""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["OK", "warning", "problem"]


class Finding(NamedTuple):
    """One line of the report.

    Attributes
    ----------
    name : thing that was examined
    status : "OK", "warning" or "problem"
    text : result in words
    fix : action that mends it, empty where none is needed

    Examples
    --------
    >>> Finding("memory", "OK", "4.0 of 8.0 GiB available").fix
    ''
    """

    name: str
    status: Status
    text: str
    fix: str = ""
