"""Frozen values: what `@dataclass(frozen=True, slots=True)` makes, at a hundredth of its cost at import.

A dataclass is written as source text and compiled each time its module is imported: those of a
mount took a third of its start. A Record is made of its annotations as they are.
"""

from __future__ import annotations

from _operator import attrgetter  # operator itself is 0.2 ms of Python

TYPE_CHECKING = False  # typing, with what it imports, costs a small command a tenth of its start
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeVar, dataclass_transform
    from typing import NamedTuple as NamedTuple

    R = TypeVar("R", bound="Record")
else:
    from _collections import _tuplegetter  # what makes a field of collections.namedtuple() fast

    def dataclass_transform(**_: object) -> object:
        """As typing.dataclass_transform() does it: nothing, at run time."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class RecordType(type):
    """Makes a class whose fields are its annotated names, after those of the Record it is derived from."""

    _fields: tuple[str, ...]
    _defaults: dict[str, Any]
    _setters: tuple[Any, ...]
    _values: Any
    """All fields of a record at once."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> RecordType:
        """The class: a slot for each field, its default kept aside."""
        fields = tuple(
            field
            for field, hint in namespace.get("__annotations__", {}).items()
            if not str(hint).startswith("ClassVar")
        )
        defaults = {field: namespace.pop(field) for field in fields if field in namespace}
        namespace["__slots__"] = fields
        made = super().__new__(cls, name, bases, namespace)
        for base in bases:
            if isinstance(base, RecordType):
                fields, defaults = base._fields + fields, base._defaults | defaults
        made._fields, made._defaults = fields, defaults
        made._setters = tuple(getattr(made, field).__set__ for field in fields)
        made._values = attrgetter(*fields) if fields else None
        return made


class Record(metaclass=RecordType):
    """A value: made of its fields by position or name, equal to one of its class with equal fields.

    TypeError says which argument is missing or too many; AttributeError, that it is frozen.
    """

    def __init__(self, *args: Any, **given: Any) -> None:
        cls = type(self)
        values = args
        if given or len(args) != len(cls._fields):
            values = _all_values(cls, args, given)
        for set_field, value in zip(cls._setters, values, strict=True):
            set_field(self, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        cls = type(self)
        if type(other) is not cls:
            return NotImplemented
        return bool(cls._values(self) == cls._values(other))

    def __hash__(self) -> int:
        return hash(type(self)._values(self))

    def __repr__(self) -> str:
        fields = ", ".join(f"{field}={value!r}" for field, value in fields_of(self).items())
        return f"{type(self).__qualname__}({fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        """For copy and pickle, which would assign to the fields."""
        return type(self), tuple(fields_of(self).values())


def fields_of(record: Record) -> dict[str, Any]:
    """Its fields by name, in order; the values as they are."""
    return {field: getattr(record, field) for field in type(record)._fields}


def required(cls: RecordType) -> list[str]:
    """The fields without a default, in order."""
    return [field for field in cls._fields if field not in cls._defaults]


def replace(record: R, /, **changes: Any) -> R:
    """The record with other values in some fields; TypeError for what is no field."""
    return type(record)(**{**fields_of(record), **changes})


def _all_values(cls: RecordType, args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, ...]:
    """The value of each field, in order: the arguments, else the defaults."""
    fields = cls._fields
    values = {**cls._defaults, **dict(zip(fields, args, strict=False)), **given}
    twice = not given.keys().isdisjoint(fields[: len(args)])
    if twice or len(args) > len(fields) or len(values) != len(fields):
        _refuse(cls, args, given)
    try:
        return tuple([values[field] for field in fields])
    except KeyError:
        _refuse(cls, args, given)


def _refuse(cls: RecordType, args: tuple[Any, ...], given: dict[str, Any]) -> NoReturn:
    """TypeError, as a function with these parameters gives it."""
    from inspect import Parameter, Signature

    kind, none = Parameter.POSITIONAL_OR_KEYWORD, Parameter.empty
    parameters = [Parameter(f, kind, default=cls._defaults.get(f, none)) for f in cls._fields]
    try:
        Signature(parameters).bind(*args, **given)
    except TypeError as error:
        raise TypeError(f"{cls.__qualname__}: {error}") from None
    raise AssertionError("the arguments fit")


if not TYPE_CHECKING:

    class _NamedTupleType(type):
        """Makes of a class's annotated names the fields of a tuple."""

        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, (tuple,), namespace)
            fields = tuple(namespace.get("__annotations__", ()))
            namespace["_defaults"] = {f: namespace[f] for f in fields if f in namespace}
            for place, field in enumerate(fields):
                namespace[field] = _tuplegetter(place, "")
            namespace |= {"__slots__": (), "__match_args__": fields, "_fields": fields}
            return super().__new__(cls, name, bases, namespace)

    class NamedTuple(metaclass=_NamedTupleType):
        """As typing.NamedTuple, which compiles text for each class and each field: 350 us a class, this takes 17."""

        __slots__ = ()

        def __new__(cls, *args, **given):
            if given or len(args) != len(cls._fields):
                args = _all_values(cls, args, given)
            return tuple.__new__(cls, args)

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            fields = ", ".join(f"{f}={v!r}" for f, v in zip(self._fields, self, strict=True))
            return f"{type(self).__qualname__}({fields})"

        @classmethod
        def _make(cls, values):
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                wanted = len(cls._fields)
                raise TypeError(f"{cls.__qualname__}: {len(made)} values, expected {wanted}")
            return made

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, **changes):
            return type(self)(**{**self._asdict(), **changes})
