"""The reading half: what a text claims about a face."""
