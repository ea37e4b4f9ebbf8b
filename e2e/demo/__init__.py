"""The main job from end to end, on real parts: an operator, a fleet of one worker, a call of three turns."""
