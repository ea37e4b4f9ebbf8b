"""What people run today, rebuilt from source and documentation, to be compared with under the same calls."""
