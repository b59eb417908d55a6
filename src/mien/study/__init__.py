"""Faces over time: events of a movement or an emotion in a clip. Numbers in, numbers out; no pixels, no nets."""
