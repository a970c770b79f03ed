"""Results in the slice views: maps, outlines, alternatives."""
