"""Attacks on a running worker by its HTTP port, its command socket, and the records that it reads.

`python -m tests.attacks` runs them and prints what was tried and seen; the tests run each of them, too.
"""
