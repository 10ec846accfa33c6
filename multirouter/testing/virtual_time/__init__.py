"""Virtual time for asyncio, uvloop and trio."""
