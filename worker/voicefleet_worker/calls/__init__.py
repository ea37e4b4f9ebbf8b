"""One call, in a process of its own: how it begins, what happens in it, and how it ends."""
