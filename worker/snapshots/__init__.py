"""Snapshots of the public tables in the process of a command: written to files, and queried with SQL."""
