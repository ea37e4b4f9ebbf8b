"""Loaded into the process that forks the job processes, for its effect alone: SIGTERM is not meant for it.

A service manager or an init process may signal the whole group. The worker drains then; its fork server would die
of it, and without that every call looks ended to the worker, which closes its line.
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
