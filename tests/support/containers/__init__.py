"""Containers of the worker's image: the engine, the image, and a base for where none can be pulled."""
