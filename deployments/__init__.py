"""Ray Serve deployments, HTTP API, sessions, the page and the command line."""
