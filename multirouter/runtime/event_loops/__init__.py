"""Event loops: one interface over asyncio and trio."""
