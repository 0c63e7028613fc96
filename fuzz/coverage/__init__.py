"""Coverage of a target's own code, as it counts it itself: what a program may link, and what a count tells a search.

Nothing here knows how a target is reached.
"""
