"""Files of calls on their way from a worker's disk to where they are kept."""
