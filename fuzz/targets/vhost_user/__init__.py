"""vhost-user back-ends: we are the front-end, and the driver whose buffers the back-end serves.

``protocol`` has the numbers, ``messages`` the messages as scapy layers, ``frontend`` the conversation,
``session`` shared memory and the life of a device, ``target`` what the command line names.
"""

from __future__ import annotations
