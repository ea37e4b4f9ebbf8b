"""What the workers of a pool know together: one exchange with Redis every second, for which no call ever waits."""
