"""The worker's job on Python frameworks, each a program for a virtual environment of its own."""
