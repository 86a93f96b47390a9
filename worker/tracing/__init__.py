"""Tracing with OpenTelemetry, configured by its standard environment variables; without them it is not loaded."""
