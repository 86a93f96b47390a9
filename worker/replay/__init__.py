"""Records that were read before, given to the handlers of today: what would change, and changing it."""
