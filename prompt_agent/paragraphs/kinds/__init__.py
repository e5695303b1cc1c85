"""One file for each kind of change: how people ask for it, and what a scene says once it is made."""
