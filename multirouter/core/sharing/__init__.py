"""What the processes of a fleet tell each other, and what one process concludes from it."""
