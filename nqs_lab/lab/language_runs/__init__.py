"""The comparison of lesson 14: language models that differ in how attention moves their tokens."""
