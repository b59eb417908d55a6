"""Training: recipes in YAML, stages on the Hugging Face Trainer, export to the torch-free runtime."""
