"""Attention with and without queries and keys, trained alike and compared: the runs behind lessons 07 to 09."""
