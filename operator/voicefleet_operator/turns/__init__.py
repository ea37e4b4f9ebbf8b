"""Whose turn it is and when, and what is remembered from one turn to the next."""
