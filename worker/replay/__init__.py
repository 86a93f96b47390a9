"""Replay: decided records are applied again with the current handlers, or in a dry run."""
