"""Trainable bricks (torch): evidence encoders, projectors, losses. Import them from their own files."""
