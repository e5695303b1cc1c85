"""The paper's training: what it computes (this room), apart from how it is run on many devices."""
