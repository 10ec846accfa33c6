"""Functions that a configuration file describes by data: checks, transforms, fallbacks."""
