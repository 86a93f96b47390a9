"""Text for readers: escaping of external data, ages, amounts of time."""
