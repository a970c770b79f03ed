"""Comparing segmentations with references, and uncertainty with errors."""
