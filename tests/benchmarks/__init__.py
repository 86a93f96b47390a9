"""Benchmarks of the worker beside Kafka Streams and a bare reader, in one run on one machine (`make bench`)."""
