"""A model of the exactly-once protocol in Promela, checked by Spin in all interleavings."""
