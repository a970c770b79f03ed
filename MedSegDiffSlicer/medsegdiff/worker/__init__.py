"""The process boundary: inference runs in a process of its own, so that neither a crash nor a long run is the caller's."""
