"""`python -m tests.conformance` writes the conformance page; `--check` only compares it."""

from __future__ import annotations

import sys

from tests.conformance import page


def main(arguments: list[str]) -> int:
    """Writes or checks the page; returns the exit status."""
    tests = page.tests_by_case()
    text = page.render(tests)
    errors = page.problems(tests)
    if arguments == ["--check"]:
        if not page.PAGE.exists() or page.PAGE.read_text(encoding="utf-8") != text:
            errors.append(
                "docs/explanation/conformance.md is stale: run `python -m tests.conformance`"
            )
    elif arguments:
        errors = [f"unknown arguments {arguments}; only --check is known"]
    else:
        page.PAGE.parent.mkdir(exist_ok=True)
        page.PAGE.write_text(text, encoding="utf-8")
    print(*errors, sep="\n", end="\n" if errors else "")
    print(f"{len(tests.keys())} of {len(page.cases())} cases are covered by tests")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
