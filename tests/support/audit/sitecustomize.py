"""Every Python process that has this folder on PYTHONPATH writes the addresses it connects to into AUDIT_LOG.

The processes of a local run get an environment of their own, of which LOCALAWS_AUDIT_LOG is passed on.
"""

import os
import sys

LOG = os.environ.get("LOCALAWS_AUDIT_LOG")


def _note(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        with open(str(LOG), "a") as log:
            log.write(f"{address[0] if isinstance(address, tuple) else address}\n")


if LOG:
    sys.addaudithook(_note)
