"""The wire contract: records as they are read and written."""
