"""The list of conformance cases is complete, and its page is up to date."""

from __future__ import annotations

import ast

import pytest

from tests.conformance import page


def test_cases_are_numbered_without_gaps() -> None:
    """The cases are numbered from 1 to 90 without a gap, in order."""
    assert [case.number for case in page.cases()] == list(range(1, 91))
    assert {case.level for case in page.cases()} == {0, 1, 2}


def test_every_due_case_has_a_test() -> None:
    """Each due case has a test, no waiting case has one, and no test names an unknown case."""
    assert page.problems(page.tests_by_case()) == []


def test_page_is_up_to_date() -> None:
    """The page is what `python -m tests.conformance` would write now."""
    assert page.PAGE.read_text(encoding="utf-8") == page.render(page.tests_by_case())


@pytest.mark.parametrize(
    ("name", "docstring", "numbers"),
    [
        ("test_a_case_12_b", "", {12}),
        ("test_a", "C" + "ase 7: something.", {7}),
        ("test_a", "(c" + "ases 23, 24 and 26)", {23, 24, 26}),
        ("test_a", "C" + "ases 43-45, 47.", {43, 44, 45, 47}),
        ("test_a", "In any case, 3 providers fail; a showcase 5.", set()),
    ],
)
def test_numbers_in_names_and_docstrings(name: str, docstring: str, numbers: set[int]) -> None:
    """A number is found in a name, alone, in a list and in a range, and nowhere else."""
    assert page.numbers_in(name, docstring) == numbers


def test_only_tests_that_run_are_counted() -> None:
    """Groups are entered and state machines count; helpers and skipped tests do not."""
    source = """
class TestGroup:
    async def test_inner(self): "one"
    def helper(self): "no"
class Machine(RuleBasedStateMachine): "two"
@pytest.mark.skip(reason="x")
def test_skipped(): "no"
@pytest.mark.skipif(WINDOWS, reason="x")
def test_elsewhere(): "three"
"""
    found = list(page._tests(ast.parse(source)))
    assert found == [
        ("TestGroup::test_inner", "one"),
        ("Machine", "two"),
        ("test_elsewhere", "three"),
    ]


def test_problems_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A due case without a test, a waiting one with a test and an unknown number are each named."""
    cases = [page.Case(1, 0, "first"), page.Case(2, 0, "second", waits_for="rain")]
    monkeypatch.setattr(page, "cases", lambda: cases)
    problems = page.problems({2: ["a::b"], 91: ["c::d"]})
    assert [line.split(":")[0] for line in problems] == [
        "case 1 has no test",
        "case 2 has a test and need not wait for rain",
        "there is no case 91",
    ]
