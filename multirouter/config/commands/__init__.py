"""The commands `check`, `config` and `keys`."""
