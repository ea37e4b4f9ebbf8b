"""The sound of a call, both sides in time, written to a file while the call goes on."""
