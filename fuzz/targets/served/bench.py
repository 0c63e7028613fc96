"""All devices of one machine: a listener for each, and the connection that came; one call deals with all of them.

Knows sockets. Must not know machines, nor programs.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress

from fuzz.targets.served.backend import RING_FEATURES, Served
from fuzz.targets.served.kinds import Kind
from fuzz.targets.served.machine import Slot
from oracles import spec


class Bench:
    """Devices for a machine's *slots*: (kind, packed, in_order). *make*: a fresh device of a class.

    A front-end may hang up and connect again; each connection is a device anew.
    """

    def __init__(
        self, slots: Sequence[tuple[str, bool, bool]], make: Callable[[str], Kind], ring_features: int = RING_FEATURES
    ) -> None:
        base = tempfile.gettempdir()
        self._folder = tempfile.mkdtemp(prefix="vqfuzz-", dir=base if len(os.fsencode(base)) < 60 else "/tmp")
        self._make = make
        self._ring_features = ring_features
        self.slots = [Slot(f"{self._folder}/{number}", *one) for number, one in enumerate(slots)]
        self.devices: list[Served | None] = [None] * len(self.slots)
        self._served: list[int | None] = [None] * len(self.slots)  # of each, the queue that a program serves
        self._listeners = [self._listen(slot.socket) for slot in self.slots]

    @staticmethod
    def _listen(path: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.bind(path)
        listener.listen(4)
        listener.setblocking(False)
        return listener

    def device(self, number: int) -> Served | None:
        """The connection of a slot, if there is one."""
        one = self.devices[number]
        return one if one is not None and one.open else None

    def leave_to_program(self, number: int, queue: int | None) -> None:
        """From now on a program serves that queue of a slot, also on a connection that is still to come; None: none."""
        self._served[number] = queue
        device = self.device(number)
        if device is not None:
            device.mine = queue
            if queue is not None:
                device.honest.pop(queue, None)

    def pump(self, seconds: float = 0.0) -> None:
        """Deal with all that is there, waiting up to so long for something."""
        poll = select.poll()
        owners: dict[int, int] = {}
        for number, listener in enumerate(self._listeners):
            device = self.device(number)
            for descriptor in (listener.fileno(), *(device.descriptors() if device is not None else ())):
                poll.register(descriptor, select.POLLIN)
                owners[descriptor] = number
        for number in sorted({owners[descriptor] for descriptor, _ in poll.poll(seconds * 1000)}):
            self._deal(number)

    def _deal(self, number: int) -> None:
        if self.device(number) is None or select.select([self._listeners[number]], [], [], 0)[0]:
            self._accept(number)
        device = self.device(number)
        if device is not None:
            device.pump()

    def _accept(self, number: int) -> None:
        try:
            connection, _ = self._listeners[number].accept()
        except OSError:
            return
        before = self.devices[number]
        slot = self.slots[number]
        features = self._ring_features
        features |= spec.RING_PACKED if slot.packed else 0
        features |= spec.IN_ORDER if slot.in_order else 0
        connection.setblocking(True)
        device = self.devices[number] = Served(connection, self._make(slot.kind), features)
        device.mine = self._served[number]
        if before is not None:
            before.close()

    def close(self) -> None:
        """Hang up everywhere. Never raises."""
        for device in self.devices:
            if device is not None:
                device.close()
        for listener in self._listeners:
            listener.close()
        with suppress(OSError):
            shutil.rmtree(self._folder)
