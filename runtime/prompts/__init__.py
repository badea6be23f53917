"""First masks from boxes and points, and prompt files."""
