"""Release names of any vendor are read and ordered by their numbers."""

import pytest

from master.domain.catalog.releases import ReleaseName


def test_ordered_by_numbers_whatever_the_spelling() -> None:
    texts = ["6.5", "7.0", "7.1", "7.1.2", "7.4", "7.10", "V8", "12r1", "12r1 sr4", "V12 SR99", "13"]
    names = [ReleaseName.parse(text) for text in texts]
    order = [0, 1, 2, 3, 4, 5, 6, 9, 7, 8, 10]
    assert [texts[n] for n in order] == [str(name) for name in sorted(names)]


def test_equal_spellings() -> None:
    assert ReleaseName.parse("7.1") == ReleaseName.parse(" v7.1.0 ")
    assert len({ReleaseName.parse("12r1"), ReleaseName.parse("12.1"), ReleaseName.parse("V12R1")}) == 1
    text: object = "7.1"
    assert ReleaseName.parse("7.1") != text
    assert (ReleaseName.parse("7.1").major, ReleaseName.parse("0").major) == (7, 0)


@pytest.mark.parametrize("text", ["", "seven", "7.", ".1", "7..1", "1.2.3.4.5.6.7", "-1", "7 1", "7.x"])
def test_what_is_none(text: str) -> None:
    for read in (ReleaseName.parse, ReleaseName.exact):
        with pytest.raises(ValueError, match="is not a release; write it like"):
            read(text)


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("7.1b", "7.1"),
        ("7.1.2-hotfix3", "7.1.2"),
        ("7.4 (build 1234)", "7.4"),
        ("12r1 sr4-hotfix10", "12r1 sr4"),
        ("12r1 [12.5416]", "12r1"),
        (" V3\u00a0beta\r\n", "3"),
        ("\uff17.\uff11", "7.1"),
    ],
)
def test_what_stands_behind_is_kept_and_tells_none_apart(text: str, release: str) -> None:
    read = ReleaseName.parse(text)
    assert read == ReleaseName.exact(release)
    assert ReleaseName.parse(str(read)) == read
    if release != "7.1" or "b" in text:
        with pytest.raises(ValueError, match="is not a release"):
            ReleaseName.exact(text)  # what is published has no more than its name
