"""The conversations engine: labelled pictures and clips to conversations (EMO-LLaMA)."""
