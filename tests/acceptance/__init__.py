"""The whole worker as others meet it: a real Kafka, a real process, and an oracle that imports nothing of it."""
