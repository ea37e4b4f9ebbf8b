"""Whether this process is alone in its pod: only then whoever led from here before is no more."""

import socket

_held: list[socket.socket] = []


def claim(pod_uid: str) -> bool:
    """Take the pod's place for as long as this process lives, unless another one in it has it.

    The name is the network's, which a pod has to itself, and which lets go of it when its holder ends, however it ends.
    """
    place = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        place.bind(f"\0voicefleet-operator-{pod_uid}")
    except OSError:
        place.close()
        return False
    _held.append(place)
    return True
