"""``mien annotate``: instruction data made of labelled faces."""
