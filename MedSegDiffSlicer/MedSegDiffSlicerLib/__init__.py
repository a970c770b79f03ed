"""What lies between Slicer and the backend: MRML in and out, jobs, dependencies. Only the module's widget knows Qt."""
