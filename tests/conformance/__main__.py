"""`python -m tests.conformance` writes docs/conformance.md; with `--check` it only looks."""

from __future__ import annotations

import sys

from tests.conformance import page


def main(arguments: list[str]) -> int:
    """Writes or checks the page; returns the exit status."""
    tests = page.holders()
    text = page.render(tests)
    wrong = page.problems(tests)
    if arguments == ["--check"]:
        if not page.PAGE.exists() or page.PAGE.read_text(encoding="utf-8") != text:
            wrong.append("docs/conformance.md is stale: run `python -m tests.conformance`")
    elif arguments:
        wrong = [f"unknown arguments {arguments}; there is only --check"]
    else:
        page.PAGE.parent.mkdir(exist_ok=True)
        page.PAGE.write_text(text, encoding="utf-8")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{len(tests.keys())} of {len(page.cases())} cases are held by tests")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
