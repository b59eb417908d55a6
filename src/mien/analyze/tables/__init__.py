"""Faces as rows: layouts, files, data frames, and mien's own tables as input again."""
