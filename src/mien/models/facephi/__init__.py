"""FacePhi: landmarks as one token of Phi-2."""
