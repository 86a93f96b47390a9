"""The business rules. Imports the standard library only."""
