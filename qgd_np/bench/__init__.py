"""What a step costs beside its floor."""
