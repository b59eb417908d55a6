"""pocket: the embedded small model."""
