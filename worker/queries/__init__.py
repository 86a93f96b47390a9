"""Reading a store: through the running worker, or without one."""
