"""The report over a history file: as text tables, as JSON, and as one HTML page."""
