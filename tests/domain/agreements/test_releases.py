"""Release names of any vendor are read and ordered by their numbers."""

import pytest

from master.domain.agreements.releases import ReleaseName


def test_ordered_by_numbers_whatever_the_spelling() -> None:
    texts = ["6.5", "7.0", "7.1", "7.1.2", "7.4", "7.10", "V8", "12r1", "12r1 sr4", "V12 SR99", "13"]
    names = [ReleaseName.parse(text) for text in texts]
    order = [0, 1, 2, 3, 4, 5, 6, 9, 7, 8, 10]
    assert [texts[n] for n in order] == [str(name) for name in sorted(names)]


def test_equal_spellings() -> None:
    assert ReleaseName.parse("7.1") == ReleaseName.parse(" v7.1.0 ")
    assert len({ReleaseName.parse("12r1"), ReleaseName.parse("12.1"), ReleaseName.parse("V12R1")}) == 1
    assert ReleaseName.parse("7.1") != "7.1"
    assert (ReleaseName.parse("7.1").major, ReleaseName.parse("0").major) == (7, 0)


@pytest.mark.parametrize("text", ["", "seven", "7.", ".1", "7..1", "7.1b", "1.2.3.4.5.6.7", "-1", "7 1"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a release; write it like"):
        ReleaseName.parse(text)
