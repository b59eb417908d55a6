"""Data engines: labelled faces -> instruction data, by a teacher, with a memory of everything that was paid for."""
