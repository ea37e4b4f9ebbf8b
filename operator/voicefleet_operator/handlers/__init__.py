"""One module per kind, each of which observes, decides, acts and reports."""
