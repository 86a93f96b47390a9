"""A real Kafka for the tests: an address that is given, else Docker, else Kafka's own jars on Java."""
