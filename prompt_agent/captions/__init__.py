"""Prompts of models that know short captions: a few attributes, each with a few values."""
