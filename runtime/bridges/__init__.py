"""Bridges to servers of other projects that call `shls`, each in a module that needs the other project's package."""
