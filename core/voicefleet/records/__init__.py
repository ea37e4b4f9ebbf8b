"""What is kept of a call: a journal while it lasts, and one record when it is over."""
