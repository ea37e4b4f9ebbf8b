"""How many workers a fleet has, which of them take calls, and why; the operator and the simulator run the same."""
