"""Makes the tiny model from nothing: VAE, latent data set, DiT by teacher forcing, few-step tuning."""

PROCESSES = 2  # of the recipe: batches are per process, so another number trains another model
MAX_PROCESSES = 8  # beyond, a process's share of the clips is smaller than its batches
