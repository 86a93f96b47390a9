"""HTTP server of the worker."""
