"""Drivers that run by themselves, in machines to which we are the devices: over vhost-user sockets.

``machine``: what runs them; ``backend``, ``bench``, ``memory``, ``honest``: our side of the connections; ``kinds``:
what a device of a class says to a driver; ``session``, ``target``: how programs meet one of its virtqueues.
"""
