"""Who answers: a reader takes the evidence of faces and gives measurements, explanations and answers."""
