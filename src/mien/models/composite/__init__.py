"""The composite language model: evidence encoders, projectors, decoder, read-outs. It knows no system."""
