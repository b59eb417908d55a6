"""Who answers: a reader takes the evidence of faces and gives measurements, explanations and answers."""

DEFAULT_MODEL = "pocket"
"""The model that every command takes when none is named; here, where it loads nothing."""
