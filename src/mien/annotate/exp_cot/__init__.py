"""The Exp-CoT engine: labelled faces to verified chains of thought (ExpLLM, section III-B)."""
