"""`python -m tests.lowest_versions` checks that a lower bound of each dependency is installed.

In an environment of the lowest versions, the tests then say that the bounds are true. Another
package of that environment may require more than a bound: the bound is then a promise that
no test keeps.
"""

from __future__ import annotations

import sys
from importlib.metadata import requires, version

from packaging.requirements import Requirement
from packaging.version import Version


def untested_bounds() -> list[str]:
    """A message for each requirement of the package whose lower bound is not installed."""
    found = []
    for text in requires("multirouter") or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": "all"}):
            continue  # the extra `all` has the requirements of all others
        lower = [part.version for part in requirement.specifier if part.operator == ">="]
        installed = version(requirement.name)
        if [Version(bound) for bound in lower] != [Version(installed)]:
            found.append(f"{text}: tested with {installed}")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(untested_bounds()) or None)
