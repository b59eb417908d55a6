"""The saying half: questions, narrator, wording."""
