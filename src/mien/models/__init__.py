"""The composite language model, its evidence, and one file per system."""
