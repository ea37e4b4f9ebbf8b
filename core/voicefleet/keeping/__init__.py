"""What is kept of calls: which are recorded, under which names, and when what could not be kept is tried again."""
