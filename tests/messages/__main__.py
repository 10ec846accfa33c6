"""`python -m tests.messages` writes the snapshot files of all messages, and names those changed."""

from __future__ import annotations

from tests.messages import snapshots


def main() -> None:
    """Writes the files."""
    for path in snapshots.write():
        print(f"wrote {path.relative_to(snapshots.FOLDER.parent)}")


if __name__ == "__main__":
    main()
