"""Locks on single bytes of a file, which belong to whoever has opened it.

Two that the same process has opened stand in each other's way, too. Nobody waits for one, and what a process held when
it died is free.
"""

import fcntl
import os
import struct

# struct flock of Linux: type, whence, first byte, length, and a process, which these locks must leave 0.
_FLOCK = struct.Struct("@hhqqi0q")


def lock(file: int, byte: int) -> bool:
    """Lock a byte, unless somebody else has."""
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def unlock(file: int, byte: int) -> None:
    """Let go of a byte."""
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0))
