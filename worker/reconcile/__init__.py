"""Customers, outbox and topic compared."""
