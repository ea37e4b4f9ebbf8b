"""A stand-in for LiveKit's SIP service and the telephone network behind it, for end-to-end tests.

The gateway itself is a Go program in this folder; `client` starts and scripts it, `records` is what it tells.
"""
