"""Reconciliation of customers, outbox and topic."""
