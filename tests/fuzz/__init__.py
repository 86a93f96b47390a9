"""Fuzzing: records from a grammar and from mutated real ones, through decoding and through the whole worker."""
