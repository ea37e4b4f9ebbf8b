"""Days of calls, simulated: what a fleet would cost and lose under this policy or another one."""
