"""EmoLA: LLaVA-1.5 with a facial prior."""
