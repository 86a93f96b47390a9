"""The databases that customers are kept in; each behind the port in `worker.stores.port`."""
