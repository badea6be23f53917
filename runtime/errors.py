"""The errors a user can cause, and can mend."""

from __future__ import annotations


class ShlsError(Exception):
    """What came, what was expected, what to do: one line for the user.

    The command line prints it and exits with 2. Anything else is a bug and keeps its traceback.
    """


class BadInput(ShlsError):
    """A file, a frame, a mask or an argument that cannot be used."""


class ShapeMismatch(ShlsError):
    """Arrays whose sizes do not belong together."""


class ContractMismatch(ShlsError):
    """A model that was not made for this runtime, or not by this exporter."""


class MissingDependency(ShlsError):
    """A package that the command needs is not installed; the message says how to install it."""


class ExportFailed(ShlsError):
    """What was exported does not compute what it was made from, or an engine could not be built."""


class DeviceUnavailable(ShlsError):
    """A device that was asked for by name is not there, or it failed."""
