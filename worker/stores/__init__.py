"""The databases that store customers, each behind the port in `worker.stores.port`."""
