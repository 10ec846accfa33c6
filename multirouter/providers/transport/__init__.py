"""How requests travel: HTTP connections, proxies, server-sent events."""
