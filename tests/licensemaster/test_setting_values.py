"""A setting's value as a file, a variable or an option gives it, in the setting's type, or refused in its words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import pytest

from licensemaster.daemon.setting_values import Limits, WrongValueError, read_value
from licensemaster.values import target

SHARE = Annotated[float, Limits(ge=0, le=0.5)]


@pytest.mark.parametrize(
    ("kind", "given", "read"),
    [
        (str, " 'a b'\n", "a b"),
        (int, "\uff11\uff12", 12),
        (int, 60.0, 60),
        (float, " 2.5 ", 2.5),
        (float, 10, 10.0),
        (bool, "True", True),
        (bool, "off", False),
        (bool, 0, False),
        (Path, "/run/a  b.key", Path("/run/a  b.key")),
        (Path | None, Path("x"), Path("x")),
        (Path | None, ' ""\n', None),
        (Path | None, None, None),
        (SHARE, "0", 0.0),
        (tuple[Path, ...], "a.toml, 'b c.toml',", (Path("a.toml"), Path("b c.toml"))),
        (tuple[Annotated[str, target], ...], ["lm:7600", " lm2:7600 "], ("lm:7600", "lm2:7600")),
    ],
)
def test_what_is_meant(kind: Any, given: object, read: object) -> None:
    value = read_value(kind, given)
    assert (value, type(value)) == (read, type(read))


@pytest.mark.parametrize(
    ("kind", "given", "at", "says"),
    [
        (str, " \n", (), "must not be empty"),
        (str, ["a"], (), "should be a valid string"),
        (str | None, "a\nb", (), "control character U+000A"),
        (int, "1.5", (), "should be a valid integer"),
        (int, True, (), "should be a valid integer"),
        (int, float("inf"), (), "should be a valid integer"),
        (int, "9" * 5000, (), "should be a valid integer"),
        (float, "ten", (), "should be a valid number"),
        (float, 10**400, (), "should be a valid number"),
        (bool, "maybe", (), "should be a valid boolean"),
        (Path, 1, (), "not a valid path"),
        (SHARE, -0.1, (), "greater than or equal to 0"),
        (SHARE, "1", (), "less than or equal to 0.5"),
        (SHARE, "nan", (), "greater than or equal to 0"),
        (tuple[Path, ...], " , ", (), "must not be empty"),
        (tuple[Path, ...], 5, (), "should be a valid tuple"),
        (tuple[Annotated[str, target], ...], ["lm:7600", ""], (1,), "must not be empty"),
        (tuple[Annotated[str, target], ...], "lm:7600,lm", (1,), "no port in 'lm'"),
    ],
)
def test_what_cannot_be_meant(kind: Any, given: object, at: tuple[int, ...], says: str) -> None:
    with pytest.raises(WrongValueError, match=re.escape(says)) as wrong:
        read_value(kind, given)
    assert wrong.value.at == at


def test_some_may_be_empty() -> None:
    assert read_value(str, "''", may_be_empty=True) == ""
    assert read_value(tuple[Path, ...], ",", may_be_empty=True) == ()
