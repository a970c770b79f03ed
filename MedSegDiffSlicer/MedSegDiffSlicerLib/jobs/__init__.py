"""Runs of the worker, without Qt: one case, many, and those of the effect; what they are asked for."""
