"""ExpLLM: label and chain of thought."""
