"""The list of conformance cases is whole, and the page made from it tells the truth."""

from __future__ import annotations

import ast

import pytest

from tests.conformance import page


def test_the_list_numbers_every_case_once() -> None:
    """The cases are numbered from 1 to 90 without a gap, in the order they stand in."""
    assert [case.number for case in page.cases()] == list(range(1, 91))
    assert {case.level for case in page.cases()} == {0, 1, 2}


def test_every_due_one_is_held() -> None:
    """Each due case has a test, none that waits has one, and no test names one that is not."""
    assert page.problems(page.holders()) == []


def test_the_page_is_fresh() -> None:
    """docs/conformance.md is what `python -m tests.conformance` would write now."""
    assert page.PAGE.read_text(encoding="utf-8") == page.render(page.holders())


@pytest.mark.parametrize(
    ("name", "words", "numbers"),
    [
        ("test_a_case_12_b", "", {12}),
        ("test_a", "C" + "ase 7: something.", {7}),
        ("test_a", "(c" + "ases 23, 24 and 26)", {23, 24, 26}),
        ("test_a", "C" + "ases 43-45, 47.", {43, 44, 45, 47}),
        ("test_a", "In any case, 3 providers fail; a showcase 5.", set()),
    ],
)
def test_names_and_docstrings_are_read(name: str, words: str, numbers: set[int]) -> None:
    """A number is found in a name, alone, in a list and in a range, and nowhere else."""
    assert page.numbers_in(name, words) == numbers


def test_only_what_runs_is_counted() -> None:
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


def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A due one without test, a waiting one with a test and an unknown number are each named."""
    some = [page.Case(1, 0, "first"), page.Case(2, 0, "second", waits_for="rain")]
    monkeypatch.setattr(page, "cases", lambda: some)
    wrong = page.problems({2: ["a::b"], 91: ["c::d"]})
    assert [line.split(":")[0] for line in wrong] == [
        "case 1 has no test",
        "case 2 has a test and need not wait for rain",
        "there is no case 91",
    ]
