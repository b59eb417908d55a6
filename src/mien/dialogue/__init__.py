"""Say and read: what is asked about a face, how it is answered, and how an answer is read back.

Every grammar keeps both halves: emotion words, AU arrays, the three-part chain of thought and the AU claims in it.
A text that a grammar cannot read is unparsed with a reason; it is never guessed.
"""
