"""Put on PYTHONPATH, this makes every Python process write down the addresses it connects to.

run with: AUDIT_LOG=file PYTHONPATH=tests/audit
"""

import os
import sys


def _note(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        with open(os.environ["AUDIT_LOG"], "a") as log:
            log.write(f"{address[0] if isinstance(address, tuple) else address}\n")


if os.environ.get("AUDIT_LOG"):
    sys.addaudithook(_note)
