"""The pure half of vqfuzz: what the specification says, and how to tell whether it was kept.

Standard library only. No clock, no randomness, no threads, no files, and never an import of ``fuzz``:
everything here is a function of the observations it is given.
"""
