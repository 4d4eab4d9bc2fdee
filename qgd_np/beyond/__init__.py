"""What goes beyond the paper, in its manner."""
