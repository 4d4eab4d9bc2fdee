"""Training, comparison and the command line."""
