"""``mien data``: data sets listed, checked, counted; their faces and dialogues."""
