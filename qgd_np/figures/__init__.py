"""Pictures and tables of the paper's experiments, from run files."""
