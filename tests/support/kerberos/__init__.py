"""A Kerberos realm of the tests, and the Python package that authenticates in it."""
