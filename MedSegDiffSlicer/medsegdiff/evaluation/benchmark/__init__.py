"""What a segmentation costs, and what it is worth, measured in one run on the machine at hand."""
