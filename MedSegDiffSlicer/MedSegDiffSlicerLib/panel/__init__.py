"""The module's panel, a section a file."""
