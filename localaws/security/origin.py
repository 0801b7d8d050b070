"""Which requests come from a program of this machine that means this endpoint, and not from a web page.

A page can send requests to 127.0.0.1, and with a name of its own that it points there (DNS rebinding) read the
answers. It cannot choose the Host header, and its browser states where a request comes from.
"""

from collections.abc import Sequence

from localaws.security.signatures import Refused

# RFC 6761: names below .localhost are this machine's, whatever a DNS server answers.
LOOPBACK, LOCAL, BELOW_LOCAL = "127.0.0.1", "localhost", ".localhost"
# A request of the endpoint's own pages (a presigned URL that a person opens), or one typed into the address bar.
OWN_SITES = ("same-origin", "none")


def check(headers: Sequence[tuple[bytes, bytes]], port: int) -> None:
    """Refuse a request for another host, or one that a web page of another origin sends."""
    hosts = [value for name, value in headers if name.lower() == b"host"]
    if len(hosts) != 1 or not is_ours(hosts[0].decode("latin-1"), port):
        raise Refused("AccessDenied", "The Host header names another host than this endpoint.")
    for name, value in headers:
        text = value.decode("latin-1")
        if name.lower() == b"origin" and not is_ours(text.removeprefix("http://"), port):
            raise Refused("AccessDenied", "Web pages of other origins may not use this endpoint.")
        if name.lower() == b"sec-fetch-site" and text not in OWN_SITES:
            raise Refused("AccessDenied", "Web pages of other sites may not use this endpoint.")


def is_ours(host: str, port: int) -> bool:
    """Whether `host:port` names this endpoint: 127.0.0.1, localhost, or a virtual host of an SDK below localhost."""
    name, _, given = host.lower().rpartition(":")
    labels = name.removesuffix(BELOW_LOCAL)
    plain = all(character.isalnum() or character in "-._" for character in labels)
    return given == str(port) and (name in (LOOPBACK, LOCAL) or (name.endswith(BELOW_LOCAL) and labels != "" and plain))
