"""The review of doubtful places."""
