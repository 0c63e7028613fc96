"""Rules that must be in the catalogue, beyond those that test_rules names."""

from __future__ import annotations

# What binds devices on split rings beyond that, and the device types.
SPLIT = [
    "VQ-LEN-REPORT", "VQ-NO-ORDER", "S-CHAIN-LIMIT", "S-DEV-ACCESS", "S-USED-LEN-OVER", "S-UN-DEV-IGN-EVENT",
    "S-UN-DEV-IGN-FLAG", "S-AN-DEV-ADVISE", "S-AN-DEV-SPUR", "DT-NET-MRG-FULL", "DT-NET-MRG-TOGETHER", "DT-I2C-ORDER",
    "DT-CAN-CTRL-ORDER",
]  # fmt: skip
# Those that nobody in our seat can check.
UNCHECKED = ["INO-BIT", "INO-RESUME", "VU-INFLIGHT-RESUBMIT", "DT-I2C-ORDER", "DT-CAN-CTRL-ORDER"]
# Those that permit something, in the order of the catalogue.
PERMITTED = [
    "INO-BATCH-OPT", "INO-NO-AVAIL-READ", "VQ-NO-ORDER", "S-CHAIN-LIMIT", "S-USED-LEN-OVER", "S-DEV-ACCESS",
    "S-AN-DEV-EVENT", "S-AN-DEV-ADVISE",
]  # fmt: skip
