"""What a history says about a span of time: as a table, as JSON, as a page that stands alone."""
