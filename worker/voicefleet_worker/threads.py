"""Threads for what can be waited for in no other way: files, and names that the system looks up."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

# A name that no server resolves holds its thread for up to a minute, although nobody waits for it any more: that of
# Redis, tried every three seconds, holds twenty. Two cores have six by default.
_THREADS = 64


def have_threads(loop: asyncio.AbstractEventLoop) -> None:
    """Let names that nobody resolves keep neither offers, nor the control port, nor the next provider waiting."""
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="worker"))
