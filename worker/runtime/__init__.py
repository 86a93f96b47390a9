"""The running worker: opening, background tasks, supervision and shutdown."""
