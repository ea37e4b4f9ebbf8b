"""Run a program that dies with its parent, whatever kills the parent.

Run by path with `python -I -S`, so that it starts in milliseconds and imports nothing of ours:

    tether.py PARENT_PID USER COMMAND [ARGUMENT…]        USER is `-` for no change

It is a program of its own because the kernel ties PR_SET_PDEATHSIG to the thread that forked and forgets it
when the user changes: here it is set last, in a process without threads.
"""

import ctypes
import os
import pwd
import signal
import sys

_PR_SET_PDEATHSIG = 1
_CLONE_NEWIPC = 0x08000000


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir


def main() -> None:
    parent, user, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        # A killed Postgres leaves its System V segment behind; in a namespace of its own that goes with it.
        libc.unshare(_CLONE_NEWIPC)
    if user != "-":
        _become(user)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):  # it died before the kernel knew what to do then
        sys.exit("the keeper is gone")
    # Not execvp: the new user may not be able to read the library that would search PATH.
    os.execv(command[0], command)  # noqa: S606 - that is its purpose


if __name__ == "__main__":
    main()
