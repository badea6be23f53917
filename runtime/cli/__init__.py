"""The `shls` command."""
