"""What runs inside vLLM, in its interpreter: this folder alone is on its path, so nothing here imports what is ours."""
