"""Entry point of `shls`: it loads the commands so that an interrupt while they load is one line, too."""

from __future__ import annotations

import sys


def run() -> None:
    """Load and run the `shls` command.

    Examples
    --------
    >>> import sys
    >>> from unittest.mock import patch
    >>> with patch.object(sys, "argv", ["shls", "--version"]):
    ...     try:
    ...         run()  # doctest: +ELLIPSIS
    ...     except SystemExit as end:
    ...         print(end.code)
    0...
    0
    """
    try:
        from .main import main
    except KeyboardInterrupt:
        sys.stderr.write("shls: interrupted. Files that were written so far are complete.\n")
        sys.exit(130)
    main()
