"""The half of vqfuzz that does things: programs, their execution against targets, and reports.

``oracles`` judges; nothing here does.
"""

__version__ = "0.1.0"
