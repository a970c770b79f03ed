"""The command line: one module a sub-command; only the standard library is imported at the start."""
