"""Providers that stand in for one another inside a call: each module is what the SDK takes for one provider.

Who is asked is decided by `voicefleet.providers`; here is what it takes to go on with another one in the middle of a
sentence, of either side.
"""
