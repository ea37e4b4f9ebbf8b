"""One agent giving the conversation to another: who is in charge, and what the next one may know."""
