"""The Linux kernel's virtio_ring.c as a driver under test: compiled as it is, in a process of its own.

Knows source trees, compilers and the small C program around the driver. Must not know programs or verdicts.

In a process of its own, not in ours: what the driver does to its memory when a device misleads it stays there, a
BUG_ON or a fault ends that process and leaves its words, an endless loop is ended from outside, and a sanitizer needs
nothing to be loaded into Python. Rings and buffers are shared memory, so only what the driver's upper half is asked for
costs a request: some ten microseconds, where a call would cost two.
"""
