"""Makes the tiny model from nothing: VAE, latent data set, DiT by teacher forcing, few-step tuning."""
