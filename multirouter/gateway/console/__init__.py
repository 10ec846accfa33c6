"""The console of the gateway: its page, its sessions, its live data and its playground."""
