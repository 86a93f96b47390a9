"""Processing of a batch: decode, decide, commit."""
