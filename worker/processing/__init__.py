"""One batch: decode, decide, commit."""
