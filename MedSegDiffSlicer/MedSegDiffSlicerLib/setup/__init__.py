"""What inference needs beyond Slicer: packages, a Python, a GPU."""
