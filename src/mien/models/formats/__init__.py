"""Models on disk: published checkpoints in, model folders and adapters out."""
