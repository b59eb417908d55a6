"""AU-LLaVA: Action Units as arrays."""
