"""Sentences from generated languages, and what attention with and without queries and keys makes of them."""
