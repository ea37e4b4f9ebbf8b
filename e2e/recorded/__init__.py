"""Recorded callers: the same sound each time, played to a session of the worker without any room."""
