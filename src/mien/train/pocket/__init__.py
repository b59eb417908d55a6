"""The pocket model's own training, from data to embedded files."""
