"""The HTTP API: what goes in and out, its errors, its routes."""
