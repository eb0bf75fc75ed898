"""What a series is: its labels, units and grids, and the evidence for what is stored of it."""
