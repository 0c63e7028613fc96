"""What else the chapters on virtqueues say of a device of packed rings: ids, by what they are to us."""

from __future__ import annotations

#: Checked, or covered by one that is.
FURTHER = ["VQ-FORMAT", "VQ-LEN-REPORT", "P-QSIZE", "P-POLL-ONE", "P-DEV-LIST-ORDER"]
#: Nobody in our seat can see them.
UNSEEN = ["VQ-COUNT", "P-START-ORDER", "P-WRITE-ORDER", "P-MULTIBUF"]
#: The device may, and is never accused.
PERMITTED = ["VQ-NO-ORDER", "P-USED-ADDR", "P-WRITE-REORDER", "P-DEV-LIST-LIMIT", "P-DEV-ACCESS", "P-DEV-SUPPRESS"]
