"""Planted faults of the vhost-user protocol: the reference back-end with a method replaced; and all of either end.

Each breaks one rule. Knows the back-end; must not know who looks for faults, nor how.
"""

from __future__ import annotations

import os
from typing import Any

from fuzz.targets.model.backend import Backend
from fuzz.targets.model.frontend_faults import FRONT_END, BackendFault
from fuzz.targets.model.inflight import PackedArea, SplitArea
from fuzz.targets.model.vring import Vring
from oracles import packed_rings, spec, split_rings
from oracles import vhost_user as vu
from oracles.split_rings import Chain

# -- the back-end: messages --------------------------------------------------------------------------------------------


class _OtherVersion(Backend):
    def reply_flags(self) -> int:
        return 2 | vu.REPLY


class _NoBase(Backend):
    def get_vring_base(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        super().get_vring_base(payload, descriptors)
        return None


class _Chatty(Backend):
    def deal(self, request: int, flags: int, payload: bytes, descriptors: list[int]) -> None:
        super().deal(request, flags, payload, descriptors)
        if request == vu.SET_OWNER and not flags & vu.NEED_REPLY:
            self.reply(request, vu.U64.pack(0))


class _LateProtocol(Backend):
    def get_protocol_features(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        return super().get_protocol_features(payload, descriptors) if self.accepted else None


class _Picky(Backend):
    def acceptable(self, bits: int) -> bool:
        return not bits & spec.RING_PACKED or bool(bits & spec.IN_ORDER)


class _Unacknowledged(Backend):
    def acknowledges(self, request: int, flags: int) -> bool:
        return request != vu.SET_VRING_ADDR and super().acknowledges(request, flags)


class _ShortConfig(Backend):
    def get_config(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        return (super().get_config(payload, descriptors) or b"")[:-1]


class _WritableConfig(Backend):
    def may_write(self, flags: int) -> bool:
        return True


class _OtherStatus(Backend):
    def get_status(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        return vu.U64.pack(self.status & ~1)


class _NoQueues(Backend):
    def get_queue_num(self, payload: bytes, descriptors: list[int]) -> bytes | None:
        return vu.U64.pack(0)


class _KeepsMemory(Backend):
    def rem_mem_reg(self, payload: bytes, descriptors: list[int]) -> None:
        raise ValueError("it is never given back")


class _AnyInband(Backend):
    def contradicts(self, negotiated: int) -> bool:
        return False


# -- the back-end: rings -----------------------------------------------------------------------------------------------


class _EnabledAtOnce(Backend):
    def set_owner(self, payload: bytes, descriptors: list[int]) -> None:
        super().set_owner(payload, descriptors)
        self.enable_all()


class _WaitsForKick(Backend):
    woken = False

    def poll(self) -> None:
        self.woken = True
        super().poll()
        self.woken = False

    def serve(self, ring: Vring) -> None:
        if self.woken:
            super().serve(ring)


class _SecondKick(_WaitsForKick):
    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.seen: set[int] = set()

    def wakes(self, ring: Vring) -> bool:
        first = ring.number not in self.seen
        self.seen.add(ring.number)
        return not first


class _NeverDisabled(Backend):
    def enabling(self, ring: Vring, on: bool) -> bool:
        return on or ring.started


class _Forgetful(Backend):
    def enabling(self, ring: Vring, on: bool) -> bool:
        return on if ring.started else ring.enabled


class _NotEnabled(Backend):
    def enable_all(self) -> None:
        pass


class _OldCall(Backend):
    def set_vring_call(self, payload: bytes, descriptors: list[int]) -> None:
        if self.ring(payload[0]).call < 0 or not descriptors:
            super().set_vring_call(payload, descriptors)


class _Unpolled(Backend):
    def polls(self, number: int) -> bool:
        return False


class _Counting(Backend):
    def poll(self) -> None:
        for ring in self.rings:
            try:
                kicks = os.eventfd_read(ring.kick) if ring.kick >= 0 else 0
            except BlockingIOError:
                continue
            if ring.engine is not None and ring.engine.live:
                waiting = ring.engine.ring.waiting() + len(ring.engine.todo)
                ring.levers["hold"] = str(max(0, waiting - kicks))
            self.serve(ring)


class _Alarmed(Backend):
    def serve(self, ring: Vring) -> None:
        super().serve(ring)
        if ring.engine is not None and ring.error >= 0:
            os.eventfd_write(ring.error, 1)


class _NoLog(Backend):
    def set_features(self, payload: bytes, descriptors: list[int]) -> None:
        super().set_features(payload, descriptors)
        self.log.on = False


class _NoReset(Backend):
    def reset_device(self, payload: bytes, descriptors: list[int]) -> None:
        pass


class _GoesOn(Backend):
    def stop(self, ring: Vring) -> int:
        return ring.engine.base() if ring.engine is not None else ring.base


class _CallsWhenStopped(Backend):
    late = -1

    def stop(self, ring: Vring) -> int:
        if self.late < 0 <= ring.call:
            self.late = os.dup(ring.call)
        return super().stop(ring)

    def poll(self) -> None:
        super().poll()
        if self.late >= 0:
            os.eventfd_write(self.late, 1)

    def close(self) -> None:
        super().close()
        if self.late >= 0:
            os.close(self.late)
            self.late = -1


# -- the back-end: the inflight area -----------------------------------------------------------------------------------


class _DoubleSplit(SplitArea):
    def entries(self) -> int:
        return 2 * self.size


class _WrongEntries(Backend):
    split_area = _DoubleSplit


class _LaggingSplit(SplitArea):
    def synced(self, used: int) -> None:
        pass


class _LagsSplit(Backend):
    split_area = _LaggingSplit


class _LaggingPacked(PackedArea):
    def synced(self, used: int) -> None:
        pass


class _LagsPacked(Backend):
    packed_area = _LaggingPacked


class _ForgettingSplit(SplitArea):
    def unfinished(self, ring: split_rings.DeviceRing) -> list[Chain]:
        super().unfinished(ring)
        return []


class _ForgettingPacked(PackedArea):
    def unfinished(self, ring: packed_rings.DeviceRing) -> list[Chain]:
        super().unfinished(ring)
        return []


class _Forgets(Backend):
    split_area = _ForgettingSplit
    packed_area = _ForgettingPacked


FAULTS: dict[str, BackendFault] = {
    fault.name: fault
    for fault in (
        BackendFault("v01", "replies have version 2 in their header", "VU-HDR", _OtherVersion),
        BackendFault("v02", "GET_VRING_BASE is not answered", "VU-REPLY-SET", _NoBase),
        BackendFault("v03", "SET_OWNER is answered", "VU-NO-STRAY", _Chatty),
        BackendFault("v04", "no protocol features before SET_FEATURES", "VU-PF-EARLY", _LateProtocol),
        BackendFault("v05", "packed rings are refused without IN_ORDER", "VU-FEAT-HONEST", _Picky),
        BackendFault("v06", "SET_VRING_ADDR is never acknowledged", "VU-REPLY-ACK", _Unacknowledged),
        BackendFault("v07", "GET_CONFIG lacks the last byte", "VU-CFG-SIZE", _ShortConfig),
        BackendFault("v08", "read-only configuration can be written", "VU-CFG-RO", _WritableConfig),
        BackendFault("v09", "GET_STATUS lacks ACKNOWLEDGE", "VU-STATUS", _OtherStatus),
        BackendFault("v10", "the number of queues is 0", "VU-QNUM", _NoQueues),
        BackendFault("v11", "REM_MEM_REG is refused", "VU-MEM-SLOTS", _KeepsMemory),
        BackendFault("v12", "in-band notifications alone are accepted", "VU-INBAND", _AnyInband),
        BackendFault("v13", "rings are enabled from the start", "VU-RING-INIT", _EnabledAtOnce),
        BackendFault("v14", "the kick that starts a ring is lost", "VU-START-KICKFD", _SecondKick),
        BackendFault("v15", "a ring that is started waits for a kick", "VU-NO-RELY-KICK", _WaitsForKick),
        BackendFault("v16", "a ring that runs can't be disabled", "VU-DISABLED", _NeverDisabled),
        BackendFault("v17", "enabling is not remembered while stopped", "VU-ENABLE-TRACK", _Forgetful),
        BackendFault("v18", "SET_FEATURES without bit 30 enables nothing", "VU-SETFEAT-ENABLE", _NotEnabled),
        BackendFault("v19", "the first call descriptor is kept", "VU-ONFLY", _OldCall),
        BackendFault("v20", "a ring without kick descriptor is not polled", "VU-KICK-NOFD", _Unpolled),
        BackendFault("v21", "a kick stands for as many buffers as its number", "VU-EVENTFD", _Counting),
        BackendFault("v22", "the error descriptor is signalled at every kick", "VU-ERRFD", _Alarmed),
        BackendFault("v23", "pages are not marked in the log", "VU-LOG", _NoLog),
        BackendFault("v24", "RESET_DEVICE does nothing", "VU-RESET-DEV", _NoReset),
        BackendFault("v25", "GET_VRING_BASE does not stop the ring", "VU-BASE-STOP", _GoesOn),
        BackendFault("v26", "the driver is notified though all is stopped", "VU-SUSPENDED", _CallsWhenStopped),
        BackendFault("v27", "the inflight area tells twice its entries", "VU-INFLIGHT-LAYOUT", _WrongEntries),
        BackendFault("v28", "the inflight area's used idx is left behind", "VU-INFLIGHT-SPLIT", _LagsSplit),
        BackendFault("v29", "the inflight area's used position is left behind", "VU-INFLIGHT-PACKED", _LagsPacked),
        BackendFault("v30", "what was in flight is not taken up", "VU-INFLIGHT-RESUBMIT", _Forgets),
        *FRONT_END,
    )
}

__all__ = ["FAULTS", "BackendFault"]
