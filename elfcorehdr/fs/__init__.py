"""What Linux has in fs/: proc/ alone."""
