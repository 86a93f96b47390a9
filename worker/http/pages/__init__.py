"""Pages for operators, rendered by the server: they need no script, and load nothing from elsewhere."""
