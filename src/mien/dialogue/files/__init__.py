"""Dialogues in the file formats that other tools train on."""
