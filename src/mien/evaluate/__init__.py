"""Evaluation of whole systems: judges, protocols, and their results by name."""
