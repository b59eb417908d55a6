"""EMO-LLaMA: LLaMA-VID with facial priors."""
