"""An unknown name is refused with what may have been meant, in few words and in little time, however many names."""

from __future__ import annotations

from licensemaster.values import similar
from licensemaster.values.similar import Known

SITES = [f"site-number-{number}" for number in range(10_000)]


def test_a_close_name_is_suggested_else_all_are_listed() -> None:
    known = Known("site of this project", ["rome", "berlin"])
    assert "rome" in known
    assert known.lacks("berlim") == "'berlim' is no site of this project; did you mean 'berlin'?"
    assert known.lacks("x") == "'x' is no site of this project; there are berlin, rome"
    assert Known("site", []).lacks("x") == "'x' is no site; there are none"


def test_of_many_names_as_many_are_listed_as_an_error_has_room_for() -> None:
    said = Known("site", SITES).lacks("q")
    assert said.startswith("'q' is no site; there are site-number-0, site-number-1, site-number-10, ")
    named = said.count("site-number-")
    assert said.endswith(f" and {10_000 - named:,} more")
    assert len(said) < 350


def test_a_close_name_is_looked_for_as_often_as_errors_are_told() -> None:
    known = Known("site", SITES)
    told = [known.lacks(f"site-nmber-{number}") for number in range(5_000)]
    assert sum("did you mean" in said for said in told) == similar._COMPARED_MAX
