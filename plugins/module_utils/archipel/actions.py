# Copyright (c) 2026, Archipel contributors
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What an action is, declared once.

The declaration is a method. Its signature gives the arguments, ``Annotated[type, "help"]`` their help, its
docstring the action's help, and the decorator the rest::

    @action(permission="lifecycle", changes=True, phrases=("start", "boot"), says="I am {state} now.")
    def start(self, *, wait: t.Annotated[bool, "Return when the machine runs"] = True) -> dict[str, t.Any]:
        '''Start the machine.'''

Dispatch, ad-hoc commands with their forms, chat phrases, permissions, ``docs/actions.md`` and what
``entity_command`` accepts derive from it. A declaration that lacks something fails when its module is imported.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import json
import re
import types
import typing as t

from .errors import InvalidArgument, Unavailable, UnknownAction

REQUIRED: t.Final = inspect.Parameter.empty
_DECLARATION = "__archipel_action__"
_TRUE = frozenset(("1", "true", "yes", "on"))
_FALSE = frozenset(("0", "false", "no", "off"))
_LARGEST = (1 << 63) - 1
_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # C ends at the one, UTF-8 has no others
_NONE = type(None)
_UNIONS = (t.Union, getattr(types, "UnionType", t.Union))  # Optional[str], and str | None from Python 3.10 on
Result = dict[str, t.Any]  # what an action answers: data
Says = t.Union[str, t.Callable[[t.Mapping[str, t.Any]], str]]
MACHINE: t.Final = "machine"
# The permissions that actions ask for, and what they are about.
PEER: t.Final = "peer"
ASKER: t.Final = "asker"
PERMISSIONS: t.Final = {
    "view": "look at it",
    "lifecycle": "start and stop machines",
    "console": "see and use a machine's screen and keyboard",
    "snapshot": "take snapshots, and go back to them",
    "define": "make, change and remove machines",
    "migrate": "move machines to other hypervisors",
    "rehome": "bring machines of a dead hypervisor up on another one",
    "storage": "pools and volumes",
    "network": "networks and filters",
    "secret": "secrets that libvirt keeps",
    "schedule": "have actions run later that they may run",
    "room": "have machines and hypervisors enter and leave chat rooms",
    "tags": "tag machines and hypervisors, by which grants can mean them",
    PEER: "what hypervisors ask each other; they alone, and nothing else",
    ASKER: "what is about the asker; everyone who has any right there",
}
HIDDEN: t.Final = "(hidden)"
_NAMES = {str: "str", int: "int", float: "float", bool: "bool", list: "list", dict: "dict"}


class _SecretMark:
    """Beside the help of an argument, ``Annotated[str, "help", SECRET]``: what is given is not told to anyone."""


SECRET: t.Final = _SecretMark()


class Secret(str):
    """A text that is not told: what is bound to a secret argument or attribute, or read from one.

    To who uses it, it is the text itself. ``shown`` puts a word in its place, wherever it is in what is told.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return HIDDEN


def shown(value: t.Any) -> t.Any:
    """Data as it may be told: in results, changes, events, logs and whatever is kept of a request. A definition is its
    fields."""
    if isinstance(value, Secret):
        return HIDDEN
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: shown(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    return [shown(item) for item in value] if isinstance(value, (list, tuple)) else value


class Progress:
    """Where a long action tells how far it is. A parameter of this type is not an argument: whoever runs the
    action passes it. This one ignores what it is told."""

    def __call__(self, text: str, fraction: float | None = None) -> None:
        """``fraction`` runs from 0 to 1, or is None where no end is in sight."""

    def promise(self, outcome: dict[str, t.Any]) -> None:
        """Tell before the point of no return what will have come of it, for whoever finds that out when nobody has
        followed the action to its end. Plain data; it has been written down when this returns."""


NO_PROGRESS: t.Final = Progress()


class Unsettled(Unavailable):
    """Who did the work lost sight of it while it went on: what became of it is to be found out."""


@t.runtime_checkable
class Bindable(t.Protocol):
    """A class that takes an argument from data that came from outside."""

    @classmethod
    def bind(cls, untrusted: t.Any, where: str) -> t.Any:
        """The value, or InvalidArgument naming ``where``."""


@dataclasses.dataclass(frozen=True)
class Names:
    """Beside the help of an argument: it names a thing of this kind, so that a form can offer those that there are.

    ``of`` is the argument that says whose it is, of things that are another's. What is ``free`` may as well be a name
    that is new, or a pattern.
    """

    kind: str
    of: str = ""
    free: bool = False


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument of an action. ``type`` is ``str``, ``int``, ``float``, ``bool``, ``list``, ``dict``, or Bindable,
    which has a ``type_name`` if it is not written as a mapping.

    A ``secret`` one is a ``str``, or a list of them.
    """

    name: str
    type: t.Any
    help: str
    default: t.Any = REQUIRED
    choices: tuple[t.Any, ...] = ()
    elements: t.Any = None
    optional: bool = False
    secret: bool = False
    names: Names | None = None

    def __post_init__(self) -> None:
        if self.secret and (self.choices or (self.elements or self.type) is not str):
            raise TypeError(f"{self.name}: what is secret is a free text, or a list of them.")

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def type_name(self) -> str:
        return _NAMES[self.type] if self.type in _NAMES else str(getattr(self.type, "type_name", "dict"))

    def bind(self, untrusted: t.Any, *, text: bool = False) -> t.Any:
        """The typed value of data from outside; ``text`` when all of it came as strings, from a form or a chat."""
        if untrusted is None:
            if self.optional or self.default is None:
                return None
            raise InvalidArgument(f"{self.name}: a value is needed, {self._wanted()}.")
        value = self._from_text(untrusted) if text else untrusted
        value = self._convert(value)
        if self.elements is not None:
            return [self._element(i).bind(item, text=text) for i, item in enumerate(value)]
        if self.choices and value not in self.choices:
            raise InvalidArgument(
                f"{self.name}: {str(value)[:80]!r} is not possible; it is one of {_listed(self.choices)}."
            )
        return Secret(value) if self.secret else value

    def _element(self, index: int) -> Argument:
        return Argument(f"{self.name}[{index}]", self.elements, self.help, choices=self.choices, secret=self.secret)

    def _wanted(self) -> str:
        return f"one of {_listed(self.choices)}" if self.choices else f"of type {self.type_name}"

    def _from_text(self, untrusted: t.Any) -> t.Any:
        if isinstance(untrusted, (list, tuple)):
            if self.type is list:
                return list(untrusted)
            untrusted = "\n".join(str(line) for line in untrusted)
        if not isinstance(untrusted, str) or self.type is str:
            return untrusted
        written = untrusted.strip()
        try:
            if self.type is bool:
                if written.lower() in _TRUE | _FALSE:
                    return written.lower() in _TRUE
                raise ValueError
            if self.type is list and self.elements is dict and not written.startswith("["):
                return [line for line in written.splitlines() if line.strip()]
            if self.type is list:
                return (
                    json.loads(written)
                    if written.startswith("[")
                    else [w.strip() for w in written.split(",") if w.strip()]
                )
            if self.type in (int, float):
                return self.type(written)
            return json.loads(written)
        except (ValueError, RecursionError):
            told = HIDDEN if self.secret else repr(written[:80])
            raise InvalidArgument(f"{self.name}: {told} cannot be read as {self.type_name}.") from None

    def _convert(self, value: t.Any) -> t.Any:
        wanted, where = self.type, self.name
        if wanted is t.Any:
            return value
        if wanted not in _NAMES:
            return wanted.bind(value, where)
        told = HIDDEN if self.secret else repr(str(value)[:80])
        # bool is an int to Python, and not to anyone who writes a task.
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        fits = fits and (wanted is bool or not isinstance(value, bool))
        if wanted in (int, float):
            # Numbers of libvirt have 64 bits; NaN is in no range.
            fits = fits and -_LARGEST <= value <= _LARGEST
        if not fits:
            raise InvalidArgument(f"{where}: {told} is not of type {_NAMES[wanted]}.")
        if wanted is str and _NO_TEXT.search(value):
            raise InvalidArgument(f"{where}: {told} has characters that no text has.")
        return wanted(value) if wanted is float else value


@dataclasses.dataclass(frozen=True)
class Phrase:
    """What people say to a contact in a chat; ``{argument}`` stands for a word of theirs.

    ``given`` are arguments that the words imply. ``says`` is the answer where they ask for less than the action tells.
    """

    text: str
    given: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    says: Says | None = None

    @property
    def shown(self) -> str:
        """As help writes it: ``migrate to <destination>``."""
        return self.text.replace("{", "<").replace("}", ">")


Phrases = t.Sequence[t.Union[str, Phrase]]


@dataclasses.dataclass(frozen=True)
class OfMachine:
    """How a machine's own contact has an action of its hypervisor: under this name, without saying which machine, and
    in the first person.

    A module has one name and many states where people have verbs: a verb has its own ``help``, some arguments
    ``given``, and of the others only those that it ``takes``. What is ``existing`` names what there is already, also
    where the module takes new names.
    """

    name: str
    phrases: Phrases = ()
    says: Says | None = None
    help: str | None = None
    asks: str | None = None
    given: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    takes: tuple[str, ...] | None = None
    existing: tuple[str, ...] = ()

    def arguments(self, declared: t.Iterable[Argument]) -> tuple[Argument, ...]:
        """What is left to say of the action's arguments."""
        said = {"name", "uuid", *self.given}
        return tuple(
            dataclasses.replace(a, names=dataclasses.replace(a.names, free=False))
            if a.names and a.name in self.existing
            else a
            for a in declared
            if a.name not in said and (self.takes is None or a.name in self.takes)
        )


Reach = t.Callable[[t.Mapping[str, t.Any]], bool]
Lighter = tuple[str, Reach]


def _no_further(arguments: t.Mapping[str, t.Any]) -> bool:
    return False


def always(arguments: t.Mapping[str, t.Any]) -> bool:
    """A reach: whatever the arguments are."""
    return True


@dataclasses.dataclass(frozen=True)
class Action:
    """A declared action. ``entity`` is the kind of contact that has it: ``machine`` or ``hypervisor``.

    ``concerns`` is the kind of thing that it is about: ``machine``, ``network``, ``pool`` … ``asks`` is what a person
    is told in a chat before it is done, where it cannot be undone. For ``lists``, ``reaches`` and ``lighter`` see
    ``action``.
    """

    name: str
    entity: str
    help: str
    permission: str
    changes: bool
    long: bool
    phrases: tuple[Phrase, ...]
    arguments: tuple[Argument, ...]
    says: Says
    function: t.Callable[..., t.Any]
    wants_progress: str | None
    concerns: str = MACHINE
    of_machine: tuple[OfMachine, ...] = ()
    asks: str | None = None
    lists: str = ""
    reaches: Reach = _no_further
    lighter: Lighter | None = None

    def permissions(self, arguments: t.Mapping[str, t.Any] | None = None) -> set[str]:
        """Of which one is enough: for these arguments or, without any, for some."""
        lighter = self.lighter is not None and (arguments is None or self.lighter[1](arguments))
        return {self.permission, self.lighter[0]} if lighter and self.lighter else {self.permission}

    def bind(self, untrusted: t.Mapping[str, t.Any], *, text: bool = False) -> dict[str, t.Any]:
        """Keyword arguments for ``function``, from data that came from outside."""
        if not isinstance(untrusted, dict):
            raise InvalidArgument(f"{self.name}: arguments are a mapping of names to values.")
        known = {argument.name: argument for argument in self.arguments}
        for name in untrusted:
            if name not in known:
                raise InvalidArgument(f"{self.name}: unknown argument {str(name)[:80]!r}.{nearest(name, known)}")
        missing = [a.name for a in self.arguments if a.required and a.name not in untrusted]
        if missing:
            raise InvalidArgument(f"{self.name}: {', '.join(missing)} must be given.")
        return {name: known[name].bind(value, text=text) for name, value in untrusted.items()}

    def sentence(self, result: t.Mapping[str, t.Any], phrase: Phrase | None = None) -> str:
        """What the contact says of a result, in the first person; to that phrase, if it was asked so."""
        says = (phrase and phrase.says) or self.says
        return says.format_map(result) if isinstance(says, str) else says(result)


def action(
    *,
    permission: str,
    changes: bool,
    says: Says,
    phrases: Phrases = (),
    asks: str | None = None,
    long: bool = False,
    name: str | None = None,
    concerns: str = MACHINE,
    of_machine: OfMachine | tuple[OfMachine, ...] = (),
    lists: str = "",
    reaches: Reach = _no_further,
    lighter: Lighter | None = None,
) -> t.Callable[[t.Callable[..., t.Any]], t.Callable[..., t.Any]]:
    """Declare a method as an action.

    :param permission: the token that a grant names.
    :param changes: whether it changes anything; such actions are locked per machine and audited.
    :param says: the answer to a person: a format string over the result, or a function of it.
    :param phrases: what to say to the contact in a chat; ``{argument}`` stands for a word of the asker's.
    :param asks: what it tells a person in a chat before it does what cannot be undone; a format string over the
        arguments. It is done when they say yes.
    :param long: whether it runs as a job.
    :param concerns: the kind of thing that it is about; two that change the same do not run at once. Which one it is
        says the argument of that name or, failing that, ``name``; of machines ``uuid`` too.
    :param of_machine: how machines' own contacts have it, of an action of hypervisors; several are several verbs.
    :param lists: of one that changes nothing, the list in its result that tells of machines, each with its ``uuid``.
        Who may see some machines only is told those.
    :param reaches: whether with these arguments it does more than to the machines that they name, so that a right to
        those machines is not enough.
    :param lighter: a permission that is enough too, and for which arguments.
    """
    verbs = of_machine if isinstance(of_machine, tuple) else (of_machine,)

    def declare(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        text, arguments, progress = _signature(function, phrases)
        declared = Action(
            name or function.__name__, "", text, permission, bool(changes), bool(long), as_phrases(phrases), arguments,
            says, function, progress, concerns, verbs, asks,
            lists, reaches, lighter,
        )  # fmt: skip
        for verb in verbs:
            _check_verb(verb, arguments, function.__qualname__)
        setattr(function, _DECLARATION, declared)
        if not permission or not says:
            raise TypeError(f"{function.__qualname__}: an action needs a permission and something to say.")
        return function

    return declare


def actions_of(owner: type, entity: str) -> dict[str, Action]:
    """The actions that ``owner`` and its bases declare, by name, as ``entity`` has them."""
    found: dict[str, Action] = {}
    for klass in reversed(owner.__mro__):
        for function in vars(klass).values():
            declared = getattr(function, _DECLARATION, None)
            if declared is not None:
                found[declared.name] = dataclasses.replace(declared, entity=entity)
    return found


def as_phrases(phrases: Phrases) -> tuple[Phrase, ...]:
    """Phrases, of which those that are only words may be written as such."""
    return tuple(phrase if isinstance(phrase, Phrase) else Phrase(phrase) for phrase in phrases)


def plain(text: str) -> str:
    """Help without Ansible's marks ``O(option)``, ``V(value)`` and ``C(code)``, on one line."""
    return re.sub(r"\b[OVC]\(([^)]*)\)", r"\1", " ".join(text.split()))


def find(actions: t.Mapping[str, Action], untrusted_name: str) -> Action:
    """The action of that name; UnknownAction names the nearest ones."""
    if untrusted_name in actions:
        return actions[untrusted_name]
    raise UnknownAction(f"There is no action {str(untrusted_name)[:80]!r} here.{nearest(untrusted_name, actions)}")


def nearest(untrusted_name: t.Any, known: t.Iterable[str]) -> str:
    """`` Did you mean …?`` or, where nothing is near, an empty string."""
    close = difflib.get_close_matches(str(untrusted_name)[:80], list(known), n=2)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _listed(choices: t.Iterable[t.Any]) -> str:
    return ", ".join(str(choice) for choice in choices)


def _signature(function: t.Callable[..., t.Any], phrases: Phrases) -> tuple[str, tuple[Argument, ...], str | None]:
    where = function.__qualname__
    text = inspect.getdoc(function)
    if not text:
        raise TypeError(f"{where}: an action needs a docstring, it is its help.")
    hints = t.get_type_hints(function, include_extras=True)
    arguments: list[Argument] = []
    progress = None
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        hint = hints.get(parameter.name)
        if t.get_origin(hint) is t.Union:
            # Before Python 3.11 a default of None puts Optional[...] around what was written.
            hint = t.get_args(hint)[0]
        if hint is Progress:
            progress = parameter.name
            continue
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise TypeError(f"{where}: argument {parameter.name} of an action must be keyword-only.")
        if t.get_origin(hint) is not t.Annotated or not isinstance(t.get_args(hint)[1], str):
            raise TypeError(f'{where}: argument {parameter.name} needs Annotated[type, "help"].')
        kind, about, *marks = t.get_args(hint)
        arguments.append(_argument(parameter, kind, about, marks, where))
    _check_phrases(phrases, arguments, where)
    for argument in arguments:
        if argument.names and argument.names.of not in {"", *(other.name for other in arguments)}:
            raise TypeError(f"{where}: {argument.name} is of an argument that is not there: {argument.names.of}.")
    return text, tuple(arguments), progress


def _check_verb(verb: OfMachine, arguments: tuple[Argument, ...], where: str) -> None:
    names = {argument.name for argument in arguments}
    for name in (*verb.given, *(verb.takes or ())):
        if name not in names:
            raise TypeError(f"{where}: {verb.name} names an argument that is not there: {name}.")
    _check_phrases(verb.phrases, verb.arguments(arguments), where)


def _check_phrases(phrases: Phrases, arguments: t.Iterable[Argument], where: str) -> None:
    known = {argument.name: argument for argument in arguments}
    for phrase in as_phrases(phrases):
        for name in (*re.findall(r"{(.*?)}", phrase.text), *phrase.given):
            if name not in known:
                raise TypeError(f"{where}: the phrase {phrase.text!r} names an argument that is not there.")
            if known[name].secret:
                raise TypeError(f"{where}: the phrase {phrase.text!r} has a secret, and chats are kept by many.")


def _argument(parameter: inspect.Parameter, hint: t.Any, text: str, marks: t.Collection[t.Any], where: str) -> Argument:
    optional = False
    if t.get_origin(hint) in _UNIONS:
        inner = [kind for kind in t.get_args(hint) if kind is not _NONE]
        optional = len(inner) < len(t.get_args(hint))
        if len(inner) != 1:
            raise TypeError(f"{where}: argument {parameter.name} can be of one type only.")
        hint = inner[0]
    choices: tuple[t.Any, ...] = ()
    elements = None
    if t.get_origin(hint) is list:
        elements = t.get_args(hint)[0]
        if t.get_origin(elements) is t.Literal:
            choices = t.get_args(elements)
            elements = type(choices[0])
        hint = list
    elif t.get_origin(hint) is t.Literal:
        choices = t.get_args(hint)
        hint = type(choices[0])
    elif t.get_origin(hint) is dict:
        hint = dict
    for kind in (hint, elements):
        if kind is not None and kind is not t.Any and kind not in _NAMES and not hasattr(kind, "bind"):
            raise TypeError(f"{where}: argument {parameter.name} has a type that data cannot be bound to: {kind}.")
    names = next((mark for mark in marks if isinstance(mark, Names)), None)
    return Argument(parameter.name, hint, text, parameter.default, choices, elements, optional, SECRET in marks, names)
