"""What lies between Slicer and the backend. Rooms, each using only those before it: nodes; jobs, setup, view; review;
effect, panel."""
