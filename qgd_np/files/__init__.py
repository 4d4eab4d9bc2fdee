"""What is saved and read: whole or not there."""
