"""Variables that lead programs astray."""

NOWHERE = "http://127.0.0.1:9"
PROXIES = {name: NOWHERE for each in ("http", "https", "all") for name in (f"{each}_proxy", f"{each.upper()}_PROXY")}
