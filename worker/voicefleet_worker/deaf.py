"""Loaded into the process that forks the job processes, for its effect alone: signals are not meant for them.

A service manager, an init process or a terminal may signal the whole group. The worker drains then; its fork server
would die of it, and without that every call looks ended to the worker, which closes its line. The calls' processes
inherit what is set here, and in the middle of a call an interrupt could end whatever is just under way.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
