"""LongLive: a causal few-step video diffusion engine (arXiv 2509.22622). Knows no HTTP, no Redis, no Ray Serve."""
