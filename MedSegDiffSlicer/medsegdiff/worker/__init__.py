"""The process boundary: inference runs in a process of its own, so that its crash is not the caller's."""
