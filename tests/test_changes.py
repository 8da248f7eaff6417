"""Versions are sets of changes."""

from __future__ import annotations

import pytest

from elfcorehdr import changes
from elfcorehdr.changes import changes_of
from elfcorehdr.changes.change import RELEASES, parse_version, uts_release
from elfcorehdr.errors import ProfileError


def test_every_change_says_where_it_comes_from_and_what_it_alters() -> None:
    assert len(changes.CHANGES) > 15
    for change in changes.CHANGES:
        assert change.source
        assert change.alters.endswith(".")


def test_a_stable_release_has_what_its_series_took() -> None:
    assert changes.BACKUP_OFFSET_AT_LOAD not in changes_of("6.12")
    assert changes.BACKUP_OFFSET_AT_LOAD in changes_of("6.12.107")
    assert changes.SPLIT_NOT_WRAPPED not in changes_of("6.18.1")
    assert changes.SPLIT_NOT_WRAPPED in changes_of("6.18.2")


def test_a_change_can_end() -> None:
    row = changes.IOMEM_CRASH_ROW_PPC64
    had = [v for v in RELEASES if row in changes_of(v)]
    assert had == ["6.16", "6.17"]


@pytest.mark.parametrize(
    ("asked", "numbers", "uname"),
    [
        ("7.1", (7, 1), "7.1.0"),
        ("v7.1", (7, 1), "7.1.0"),
        ("7.1-rc1", (7, 1), "7.1-rc1"),
        ("7.3-powerpc64le-64k", (7, 3), "7.3-powerpc64le-64k"),
        ("6.12.107-1-amd64", (6, 12, 107), "6.12.107-1-amd64"),
        ("7.2.13+deb14-powerpc64le", (7, 2, 13), "7.2.13+deb14-powerpc64le"),
    ],
)
def test_a_release_is_read_as_people_write_it(
    asked: str, numbers: tuple[int, ...], uname: str
) -> None:
    assert parse_version(asked) == numbers
    assert uts_release(asked) == uname


def test_a_distribution_s_release_is_read_up_to_its_numbers() -> None:
    assert changes_of("7.2.13+deb14-powerpc64le-64k") == changes_of("7.2.13")


def test_no_release_has_a_bug_or_proposal_but_the_file_this_is_all_about() -> None:
    for release in RELEASES:
        kinds = {c for c in changes_of(release) if c.kind.value in ("bug", "proposed")}
        assert kinds == {changes.ELFCOREHDR_PRINT}


@pytest.mark.parametrize(
    ("release", "also", "without", "sentence"),
    [
        ("5.10", (), (), "older than 6.1"),
        ("99.9", (), (), "newer than anything known here, of which the newest is 7.3"),
        ("7.4", (), (), "newer than anything known here"),
        ("6.20", (), (), "there never was one, 6.19 was the last"),
        ("7.1.", (), (), "expected a release such as"),
        ("7.1 ", (), (), "expected a release such as"),
        ("7.1-" + "x" * 90, (), (), "expected a release such as"),
        ("seven", (), (), "expected a release such as"),
        ("7.1", ("backup-offset",), (), "did you mean backup-offset-at-"),
        ("7.1", ("possible-cpus",), ("possible-cpus",), "both switched on and switched off"),
    ],
)
def test_wrong_names_are_refused_with_a_sentence(
    release: str, also: tuple[str, ...], without: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ProfileError, match=sentence):
        changes_of(release, also=also, without=without)
