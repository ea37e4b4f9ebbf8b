"""The worker as one of a fleet: how calls reach it, how it is told what to do, and how it leaves."""
