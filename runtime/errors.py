"""Errors that a user can cause and can correct."""

from __future__ import annotations


class ShlsError(Exception):
    """Base of all errors below: one line that says what came, what was expected and what to do.

    The command line prints the line and exits with code 2. Any other exception is a defect and keeps its traceback.

    Examples
    --------
    >>> issubclass(BadInput, ShlsError)
    True
    """


class BadInput(ShlsError):
    """A file, a frame, a mask or an argument cannot be used."""


class ShapeMismatch(ShlsError):
    """Two arrays have sizes that do not fit together, or one array has the wrong shape."""


class ContractMismatch(ShlsError):
    """A model file was made for another runtime, or by other software."""


class MissingDependency(ShlsError):
    """A package that the command needs is not installed; the message says how to install it."""


class ExportFailed(ShlsError):
    """An exported model computes other results than its source, or an engine could not be built."""


class DeviceUnavailable(ShlsError):
    """A device that was asked for by name is absent or failed."""
