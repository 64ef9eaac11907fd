"""Attention with and without queries and keys beyond 4x4: the 6x6 torus, rings, and 20 sites exactly."""
