"""The FABA engine: descriptions of emotions and Action Units, as published for FABA-Instruct."""
