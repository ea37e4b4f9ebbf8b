"""How fast the operator is with many agents and many workers, on a real control plane: `make bench-scale`."""
