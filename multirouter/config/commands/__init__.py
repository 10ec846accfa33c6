"""The commands about configurations: `check`, `config` and `keys`."""
