"""``mien models``: listed, described, verified, imported, exported."""
