"""Every message that a user can see, collected in the snapshot files of this folder."""
