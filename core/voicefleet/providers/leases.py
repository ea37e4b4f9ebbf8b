"""Quotas of the whole fleet, kept by leases: a worker holds them before its calls ask, so that no call waits.

No more leases are given than the quota has, so a worker that never asks anybody keeps to it. They end with the worker:
it renews them every second, and after `LEASE_SECONDS` without a word of it others may have them.
"""

from voicefleet.providers.sharing import Counts

RENEW_SECONDS = 1.0
LEASE_SECONDS = 10.0
PROBE_LEASE_SECONDS = 5.0
"""For how long one worker alone may probe a provider, unless a probe of it is under way; then another may."""
LACKING_SECONDS = 5.0
"""For how long a worker counts as lacking a lease once a call was refused; then it may go to another one."""
PROBE_WANTED_SECONDS = 60.0
"""For how long a worker asks to probe a provider on behalf of a call that would have."""
MOST_LEASES = 512
"""Leases of one provider that a worker can hold."""


def wanted_leases(quota: int, own: Counts, fleet: Counts, workers: int) -> int:
    """Return how many leases a worker should hold: those in use, and its equal part of those that nobody uses.

    Of a quota of 10, 4 are in use, 1 of them here; with 3 workers that is 1 + 6 // 3 = 3. Where there is less than one
    for each, a worker keeps one at hand only while nobody else lacks one. Of more than there are, which workers hold
    that have just been alone, none is kept at hand.
    """
    if fleet.held > quota:
        return min(quota, MOST_LEASES, own.in_use)
    spare = max(0, quota - max(fleet.in_use, own.in_use)) // max(1, workers)
    others_lack = fleet.lacking > own.lacking
    at_hand = own.lacking if others_lack else 1
    return min(quota, MOST_LEASES, own.in_use + max(spare, at_hand))
