"""Pixels to faces: decode, detect, landmarks, pose, crop, tracks, landmark geometry; the only door to pixels."""
