"""The operator: a shell that observes a cluster, asks the core what to do, acts and reports."""
