"""Live calls that only hold the line, and who says what became of them while the fleet is moved about under them."""

from e2e.calls.held import HeldCall, hold_calls
from e2e.calls.records import Records
from e2e.calls.scene import Scene, set_scene

__all__ = ["HeldCall", "Records", "Scene", "hold_calls", "set_scene"]
