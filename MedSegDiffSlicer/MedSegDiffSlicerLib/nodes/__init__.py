"""MRML in and out: volumes to images, results to nodes, labels to segments."""
