"""The workers' control ports: hearing thousands of them at once, and telling each a word."""
