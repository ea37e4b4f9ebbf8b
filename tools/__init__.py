"""The repository's own scripts: generate, lock, check charts."""
