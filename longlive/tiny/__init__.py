"""The tiny world: a procedural, captioned video world, its readouts, and the model this project trains on it."""
