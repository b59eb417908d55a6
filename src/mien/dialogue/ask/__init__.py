"""Understanding a question about a face: what it asks, of which face, or why it is declined."""
