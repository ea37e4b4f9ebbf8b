"""What an agent says and does in a call, as far as it can be decided without hearing anybody."""
