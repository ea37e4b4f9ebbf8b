"""Whether the cluster has what was asked for."""

import hashlib

import orjson

from voicefleet.manifests import Manifest


def digest_of(manifest: Manifest) -> str:
    """Return what tells one manifest from another, without the text of either."""
    return hashlib.sha256(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_within(wanted: object, found: object) -> bool:
    """Tell whether all that is wanted is found; what the server or others added beside it does not matter."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(is_within(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(wanted) != len(found):
            return False
        return all(is_within(each, other) for each, other in zip(wanted, found, strict=True))
    return wanted == found
