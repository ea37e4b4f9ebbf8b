"""Which provider does a job of a call, and when one that fails is left alone. Pure, and the same for every role."""
