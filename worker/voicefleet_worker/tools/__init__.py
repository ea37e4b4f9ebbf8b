"""What an agent can do besides talking: each tool of the spec as the SDK takes it.

A tool that fails is told to the model in words; a caller never hears a traceback, nor silence for longer than the
filler waits.
"""
