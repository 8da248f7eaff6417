"""elfcorehdr/record.py: a Record is to its user what a frozen dataclass is."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from typing import ClassVar, Generic, TypeVar
from typing import NamedTuple as TypingTuple

import pytest

from elfcorehdr.lib.record import NamedTuple as RecordTuple
from elfcorehdr.lib.record import Record, fields_of, replace, required

T = TypeVar("T")


class Region(Record):
    """A stretch of memory."""

    start: int
    size: int
    name: str = ""
    """What it is."""
    unit: ClassVar[int] = 4096

    @property
    def end(self) -> int:
        """The last byte."""
        return self.start + self.size - 1


class Numbered(Region):
    """One with a number, and a type that the tests do not look at."""

    number: int = 7


class Box(Record, Generic[T]):
    """A generic one."""

    content: T


@dataclasses.dataclass(frozen=True, slots=True)
class Twin:
    """What Region would be as a dataclass."""

    start: int
    size: int
    name: str = ""


def test_fields_are_given_by_position_or_name_and_defaults_fill_in():
    for made in (Region(1, 2), Region(1, size=2), Region(size=2, start=1), Region(1, 2, "")):
        assert (made.start, made.size, made.name, made.end) == (1, 2, "", 2)
    assert Region(1, 2, "a").name == "a"
    assert Box("x").content == "x"
    assert Region.unit == 4096


def test_a_derived_record_has_the_fields_of_its_base_first():
    made = Numbered(1, 2, "n", 3)
    assert fields_of(made) == {"start": 1, "size": 2, "name": "n", "number": 3}
    assert Numbered(1, 2).number == 7
    assert required(Numbered) == ["start", "size"]


@pytest.mark.parametrize(
    ("args", "given", "says"),
    [
        ((1,), {}, "Region: missing a required argument: 'size'"),
        ((), {"size": 1}, "Region: missing a required argument: 'start'"),
        ((1, 2, "", 4), {}, "Region: too many positional arguments"),
        ((1, 2), {"start": 1}, "Region: multiple values for argument 'start'"),
        ((1, 2), {"colour": 1}, "Region: got an unexpected keyword argument 'colour'"),
        ((1,), {"colour": 1}, "Region: missing a required argument: 'size'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_as_a_dataclass_refuses_them(args, given, says):
    with pytest.raises(TypeError) as refused:
        Region(*args, **given)
    assert str(refused.value) == says
    with pytest.raises(TypeError):
        Twin(*args, **given)


def test_a_record_cannot_be_changed_and_takes_no_other_name():
    made = Region(1, 2)
    for name in ("start", "unit", "colour"):
        with pytest.raises(AttributeError):
            setattr(made, name, 9)
    with pytest.raises(AttributeError):
        del made.start
    assert not hasattr(made, "__dict__")
    assert made == Region(1, 2)


def test_records_are_equal_and_hashed_by_their_fields_and_class():
    assert Region(1, 2) == Region(1, 2, "")
    assert Region(1, 2) != Region(1, 3)
    assert Region(1, 2) != Numbered(1, 2)
    assert Region(1, 2) != Twin(1, 2)
    assert len({Region(1, 2), Region(1, 2), Region(1, 3), Box(1)}) == 3


def test_a_record_shows_its_fields_as_a_dataclass_does():
    assert repr(Region(1, 2)) == repr(Twin(1, 2)).replace("Twin", "Region")


def test_replace_gives_a_changed_copy_and_refuses_what_is_no_field():
    made = Numbered(1, 2)
    changed = replace(made, size=9)
    assert (changed, type(changed)) == (Numbered(1, 9), Numbered)
    assert made.size == 2
    with pytest.raises(TypeError, match="colour"):
        replace(made, colour=1)


def test_records_can_be_copied_and_pickled():
    made = Numbered(1, 2, "n")
    assert copy.copy(made) == copy.deepcopy(made) == pickle.loads(pickle.dumps(made)) == made


def test_a_mount_imports_no_dataclasses():
    code = (
        "import sys; from fsmount.cli.boot import BootOptions, boot; boot(BootOptions());"
        "print([m for m in ('dataclasses', 'inspect', 'click') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


class Place(RecordTuple):
    """A tuple with names."""

    start: int
    size: int
    name: str = "x"

    @property
    def end(self) -> int:
        """The last byte."""
        return self.start + self.size - 1


class TypingsPlace(TypingTuple):
    """The same as typing makes it."""

    start: int
    size: int
    name: str = "x"


def test_a_named_tuple_is_what_typing_makes() -> None:
    ours, theirs = Place(4, 2), TypingsPlace(4, 2)
    assert ours == theirs == (4, 2, "x")
    assert repr(ours).removeprefix("Place") == repr(theirs).removeprefix("TypingsPlace")
    assert (ours.start, ours.size, ours.name, ours.end) == (4, 2, "x", 5)
    assert Place(size=2, start=4) == Place._make((4, 2, "x")) == ours
    assert ours._replace(size=3) == theirs._replace(size=3)
    assert ours._asdict() == theirs._asdict()
    assert ours._fields == theirs._fields
    assert copy.deepcopy(ours) == pickle.loads(pickle.dumps(ours)) == ours
    assert type(pickle.loads(pickle.dumps(ours))) is Place
    assert not hasattr(ours, "__dict__")
    match ours:
        case Place(start, _, name):
            assert (start, name) == (4, "x")


@pytest.mark.parametrize(
    ("args", "given"),
    [((1,), {}), ((1, 2, "n", 4), {}), ((1, 2), {"start": 3}), ((1, 2), {"z": 3})],
)
def test_a_named_tuple_takes_its_fields_and_no_others(
    args: tuple[object, ...], given: dict[str, object]
) -> None:
    for cls in (Place, TypingsPlace):
        with pytest.raises(TypeError):
            cls(*args, **given)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Place._make((1, 2))
    with pytest.raises(AttributeError):
        Place(1, 2).start = 3  # type: ignore[misc]


# What a start of `run` or `mount` must not import: milliseconds each, of some 60.
NEEDLESS = (
    "typing",
    "tomllib",
    "datetime",
    "string",
    "threading",
    "dataclasses",
    "inspect",
    "click",
)


def test_a_boot_imports_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys, ctypes, warnings\nbefore = set(sys.modules)\n"  # ctypes imports threading since 3.14
        "from fsmount.cli.boot import BootOptions, boot\nboot(BootOptions())\n"
        "import fsmount.run.server, fsmount.fuse.mount\n"
        f"sys.exit(' '.join(name for name in {NEEDLESS} if name in sys.modules.keys() - before) or None)"
    )
    # -S: what the installed packages' .pth files import is not ours.
    ran = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
