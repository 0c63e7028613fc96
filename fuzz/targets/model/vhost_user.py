"""The target ``model-vhost-user``: the reference back-end behind a real socket and real shared memory, in our process.

The back-end is pumped by hand: whenever the front-end has sent something, waits for something or kicks, the back-end
does all that there is to do. So nothing depends on time, and its stores are seen as they happen. Knows the
back-end and the front-end's session; must not know programs.
"""

from __future__ import annotations

import socket
from array import array
from collections.abc import Callable

from fuzz.program import Limits
from fuzz.targets import Offer, QueueConfig
from fuzz.targets.model import LEVERS
from fuzz.targets.model.backend import Backend
from fuzz.targets.model.engine import Engine
from fuzz.targets.presets import ACTIONS, Preset
from fuzz.targets.vhost_user import protocol
from fuzz.targets.vhost_user.frontend import Frontend
from fuzz.targets.vhost_user.session import SharedMemory, VhostUserSession
from oracles import spec
from oracles.trace import Called, Stored

MEMORY = 1 << 22  # bytes shared with the device
NAME = "model-vhost-user"


class Pumped(socket.socket):
    """The front-end's end of a connection whose other end runs in the same thread, when somebody touches ours."""

    backend: Backend

    def sendmsg(self, buffers: list[bytes], ancillary: list[tuple[int, int, array[int]]]) -> int:  # type: ignore[override]  # what is used of it
        """Send, and let the back-end deal with it."""
        sent = super().sendmsg(buffers, ancillary)
        if sent == sum(map(len, buffers)):
            self.backend.pump()
        return sent

    def send(self, data: memoryview, flags: int = 0) -> int:  # type: ignore[override]  # what is used of it
        """The rest of a message."""
        sent = super().send(data, flags)
        if sent == len(data):
            self.backend.pump()
        return sent

    def recvmsg(
        self, size: int, ancillary: int = 0, flags: int = 0
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
        """What the back-end has sent; what it has not sent by now never comes."""
        try:
            return super().recvmsg(size, ancillary, flags)
        except BlockingIOError:
            raise TimeoutError from None

    def settimeout(self, value: float | None) -> None:
        """There is nothing to wait for."""
        super().settimeout(0.0)

    def pump(self) -> None:
        """Let the back-end do what there is to do."""
        self.backend.pump()


class ModelSession(VhostUserSession):
    """The session of any vhost-user back-end, with levers, and stores seen as they happen."""

    proof = 1
    target: ModelVhostUser

    @property
    def backend(self) -> Backend:
        """The other end."""
        return self.target.backend

    def start(self, features: int, queues: list[QueueConfig]) -> None:
        """As ever; nothing runs before the first notification, so that nothing is missed."""
        self.backend.eager = False
        super().start(features, queues)
        self.backend.eager = True

    def resume(self, queue: int, config: QueueConfig) -> None:
        """As ever, see start()."""
        self.backend.eager = False
        super().resume(queue, config)
        self.backend.eager = True

    def notify(self, queue: int) -> None:
        """Kick, and let the device run until it is idle."""
        super().notify(queue)
        self.backend.pump()

    def called(self, queue: int, seconds: float) -> bool:
        """Whether a notification came; there is nothing to wait for."""
        return super().called(queue, 0)

    def listen(self, observer: Callable[[int, Stored | Called], None]) -> bool:
        """Show every store and signal at the moment it happens."""
        for ring in self.backend.rings:
            ring.observer = observer
        return True

    def lever(self, name: str, value: str) -> None:
        """Move a lever of all queues."""
        if value in dict(LEVERS).get(name, ()):
            for ring in self.backend.rings:
                ring.levers[name] = value
                if name == "hold" and ring.engine is not None and ring.engine.todo:
                    ring.run()  # what was held back may finish now

    def answer(self, queue: int, length: int | None) -> None:
        """How many bytes the next buffer supplied asks for."""
        self.backend.rings[queue].answers.append(length)

    def at_gap(self, queue: int, action: Callable[[], None]) -> bool:
        """Run *action* between «ring drained» and «doorbell armed»."""
        ring = self.backend.rings[queue]
        if ring.gap is not None or ring.engine is None or not ring.engine.live:
            return False
        ring.gap = action
        return True

    def holding(self, queue: int) -> bool:
        """Whether a lever keeps buffers unfinished."""
        return self.backend.rings[queue].levers["hold"] != "0"

    def release(self) -> None:
        """All levers neutral; what was held back first, so that it comes as the others say."""
        for name, values in sorted(LEVERS, key=lambda lever: lever[0] != "hold"):
            self.lever(name, values[0])


class ModelVhostUser:
    """The target ``model-vhost-user[:fault]``. *kind*, *ours*: the back-end and the front-end, perhaps with a fault."""

    role = "device"
    device_features = 0
    reset_by = "reconnect"
    stop_spreads = False
    preset: Preset | None = None
    certain = True
    seconds = 5.0
    limits = Limits(
        levers=LEVERS,
        actions=frozenset({*ACTIONS, "gap"}),
        empty_elements=True,
        features=spec.INDIRECT_DESC | spec.EVENT_IDX,
    )

    def __init__(
        self, fault: str = "", kind: type[Backend] = Backend, ours: type[Frontend] = Frontend, queues: int = 1
    ) -> None:
        self.name = f"{NAME}:{fault}" if fault else NAME
        self.starts = 0
        self.backend: Backend
        self._kind = kind
        self._ours = ours
        self._queues = queues
        self._engine = Engine
        self._memory: SharedMemory | None = None
        self._session: ModelSession | None = None
        if fault:
            self._plant(fault)

    def _plant(self, fault: str) -> None:
        from fuzz.targets.model.backend_faults import FAULTS
        from fuzz.targets.model.faults import FAULTS as RINGS

        if fault in RINGS:
            self._engine = RINGS[fault].engine
        else:
            self._kind, self._ours = FAULTS[fault].kind, FAULTS[fault].ours

    # --- what a session needs -----------------------------------------------------------------------------------------

    def connect(self) -> Pumped:
        """A connection to a back-end of its own."""
        ours, theirs = socket.socketpair()
        connection = Pumped(fileno=ours.detach())
        self.backend = connection.backend = self._kind(theirs, self._engine, self._queues)
        return connection

    def frontend(self, connection: socket.socket, seconds: float, acknowledge: bool = True) -> Frontend:
        """Our end of a connection."""
        return self._ours(connection, seconds, acknowledge)

    def obituary(self, seconds: float) -> str:
        """It lives as long as we do."""
        return ""

    def ended(self, well: bool) -> None:
        """A session is over."""
        self._session = None
        self.backend.close()

    # --- Target -------------------------------------------------------------------------------------------------------

    def open(self) -> ModelSession:
        """A new device; its memory is reused, and cleared."""
        if self._session is not None:
            self._session.close()
        self.starts += 1
        if self._memory is None:
            self._memory = SharedMemory(MEMORY)
        session = ModelSession(self, self._memory, self.seconds)
        session.target = self
        self._session = session
        return session

    def restart(self) -> None:
        """Every session is a new device."""

    def probe(self) -> Offer:
        """What the back-end says that it offers."""
        frontend = self.frontend(self.connect(), self.seconds)
        try:
            frontend.negotiate()
            queues = frontend.queue_count()
            config = frontend.config(16)
        finally:
            frontend.close()
            self.backend.close()
        details = (
            ("ring features", " ".join(spec.feature_names(frontend.features))),
            ("protocol features", " ".join(protocol.protocol_names(frontend.protocol_features))),
            ("device class", "any"),
        )
        return Offer(frontend.features, queues, config, details)

    def words(self) -> str:
        """A model prints nothing."""
        return ""

    def describe(self) -> dict[str, str]:
        """There is nothing beside the name."""
        return {"target": self.name}

    def close(self) -> None:
        """Let go of the memory."""
        if self._session is not None:
            self._session.close()
        if self._memory is not None:
            self._memory.close()
            self._memory = None
