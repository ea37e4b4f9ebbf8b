"""What is kept of calls: a call's own process writes a journal, the worker makes a record of it and sends it on."""
