"""Whether the cluster has what was asked for."""


def is_within(wanted: object, found: object) -> bool:
    """Tell whether all that is wanted is found; what the server or others added beside it does not matter."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(is_within(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(wanted) != len(found):
            return False
        return all(is_within(each, other) for each, other in zip(wanted, found, strict=True))
    return wanted == found
