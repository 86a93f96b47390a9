"""Dead letters after they are written: what became of each, what is at stake, and sending them back."""
