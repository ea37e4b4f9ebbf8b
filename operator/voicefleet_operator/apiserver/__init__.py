"""The apiserver: requests to it, our copy of its objects, and every write that is made."""
