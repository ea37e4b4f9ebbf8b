"""What is said about a resource, from what was seen and planned; pure, and the same twice for the same."""
