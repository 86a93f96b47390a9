"""The commands of `customer-worker`, one file each. They are thin: what they do is elsewhere."""
