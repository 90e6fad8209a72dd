# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t

import pytest
from archipel import actions
from archipel.actions import (
    HIDDEN,
    SECRET,
    Action,
    OfMachine,
    Progress,
    Secret,
    action,
    actions_of,
    as_phrases,
    find,
    shown,
)
from archipel.errors import InvalidArgument, UnknownAction

Text = t.Annotated[str, "A text."]


class Pair:
    """A type of an argument that binds itself."""

    @classmethod
    def bind(cls, untrusted: t.Any, where: str) -> tuple[str, t.Any]:
        if untrusted == "bad":
            raise InvalidArgument(f"{where}: not this one.")
        return where, untrusted


class Entity:
    @action(permission="view", changes=False, phrases=("take {text}", "take it"), says="I took {text}.")
    # pylint: disable-next=dangerous-default-value
    def take(
        self,
        *,
        text: Text = "",
        number: t.Annotated[int, "A number."] = 1,
        share: t.Annotated[float, "A share."] = 0.5,
        flag: t.Annotated[bool, "A flag."] = False,
        colour: t.Annotated[t.Literal["red", "blue"], "A colour."] = "red",
        words: t.Annotated[list[str] | None, "Words."] = None,
        numbers: t.Annotated[list[int], "Numbers."] = (),  # type: ignore[assignment]
        colours: t.Annotated[list[t.Literal["red", "blue"]], "Colours."] = (),  # type: ignore[assignment]
        mapping: t.Annotated[dict[str, t.Any], "A mapping."] = {},  # noqa: B006
        pair: t.Annotated[Pair | None, "A pair."] = None,
        progress: Progress = actions.NO_PROGRESS,
    ) -> dict[str, t.Any]:
        """Take what is given."""
        return {"text": text}

    @action(permission="view", changes=False, says=lambda result: f"{result['n']} found")
    def need(self, *, name: Text, limit: t.Annotated[int | None, "A limit."] = None) -> dict[str, t.Any]:
        """Need a name."""
        return {"n": 1}


@pytest.fixture
def take() -> Action:
    return actions_of(Entity, "machine")["take"]


def test_a_declaration_gives_all_that_doors_need(take: Action) -> None:
    """Name, help, permission, phrases and arguments derive from the method."""
    assert (take.name, take.entity, take.help, take.permission) == ("take", "machine", "Take what is given.", "view")
    assert (take.changes, take.long, take.phrases) == (False, False, as_phrases(("take {text}", "take it")))
    assert take.wants_progress == "progress"
    told = {argument.name: (argument.type_name, argument.required) for argument in take.arguments}
    assert told["colour"] == ("str", False)
    assert told["words"] == ("list", False)
    assert told["pair"] == ("dict", False)
    assert "progress" not in told
    assert take.sentence({"text": "that"}) == "I took that."
    assert actions_of(Entity, "machine")["need"].sentence({"n": 2}) == "2 found"


class Safe:
    """Has actions that take secrets."""

    @action(permission="view", changes=False, says="Done.")
    def lock(
        self,
        *,
        code: t.Annotated[str | None, "A code.", SECRET] = None,
        codes: t.Annotated[list[str], "Codes.", SECRET] = (),  # type: ignore[assignment]
    ) -> None:
        """Lock it."""


def test_a_secret_is_the_text_itself_to_who_uses_it() -> None:
    given = actions_of(Safe, "machine")["lock"].bind({"code": "1234", "codes": ["5", "6"]})
    assert given == {"code": "1234", "codes": ["5", "6"]}
    assert [type(text) for text in (given["code"], *given["codes"])] == [Secret] * 3
    assert "1234" not in repr(given)


def test_a_secret_is_hidden_wherever_it_is_in_what_is_shown() -> None:
    data = {"a": Secret("1234"), "b": [{"c": Secret("1234")}, ("d", Secret("1234"))], "e": 1}
    assert shown(data) == {"a": HIDDEN, "b": [{"c": HIDDEN}, ["d", HIDDEN]], "e": 1}
    assert shown({"definition": OfMachine("x", (Secret("1234"),))})["definition"]["phrases"] == [HIDDEN]


@pytest.mark.parametrize(
    "given", [{"code": 987654}, {"code": "987654\0"}, {"codes": ["1", 987654]}, {"codes": "987654"}]
)
def test_the_refusal_of_a_secret_does_not_tell_it(given: dict[str, t.Any]) -> None:
    with pytest.raises(InvalidArgument, match="code.*hidden") as refused:
        actions_of(Safe, "machine")["lock"].bind(given)
    assert "987654" not in str(refused.value)


def test_a_list_of_secrets_that_cannot_be_read_is_not_told() -> None:
    with pytest.raises(InvalidArgument, match="codes: .hidden. cannot be read"):
        actions_of(Safe, "machine")["lock"].bind({"codes": '["987654'}, text=True)


def declare(function: t.Callable[..., t.Any], **more: t.Any) -> t.Any:
    return action(**{"permission": "view", "changes": False, "says": "Done.", **more})(function)


def undocumented(self: t.Any, *, text: Text) -> None:
    pass


def positional(self: t.Any, text: Text) -> None:
    """Has an argument by position."""


def unhelpful(self: t.Any, *, text: str) -> None:
    """Has an argument without help."""


def unbindable(self: t.Any, *, text: t.Annotated[bytes, "Octets."]) -> None:
    """Has an argument that no data can be bound to."""


def ambiguous(self: t.Any, *, text: t.Annotated[str | int, "Either."]) -> None:
    """Has an argument of two types."""


def countable(self: t.Any, *, number: t.Annotated[int, "A number.", SECRET]) -> None:
    """Has a secret that is no text."""


def guessable(self: t.Any, *, colour: t.Annotated[t.Literal["red", "blue"], "A colour.", SECRET]) -> None:
    """Has a secret of which there are two."""


def whispered(self: t.Any, *, code: t.Annotated[str, "A code.", SECRET]) -> None:
    """Has a secret."""


def complete(self: t.Any, *, text: Text) -> None:
    """Has all that is needed."""


@pytest.mark.parametrize(
    ("function", "more", "reason"),
    [
        (undocumented, {}, "docstring"),
        (positional, {}, "keyword-only"),
        (unhelpful, {}, "needs Annotated"),
        (unbindable, {}, "cannot be bound"),
        (ambiguous, {}, "one type only"),
        (countable, {}, "number: what is secret is a free text"),
        (guessable, {}, "colour: what is secret is a free text"),
        (whispered, {"phrases": ["lock with {code}"]}, "has a secret"),
        (complete, {"phrases": ["take {texts}"]}, "names an argument that is not there"),
        (complete, {"phrases": ["take:{texts}!"]}, "names an argument that is not there"),
        (complete, {"permission": ""}, "needs a permission"),
        (complete, {"says": ""}, "something to say"),
    ],
)
def test_an_incomplete_declaration_fails(function: t.Any, more: dict[str, t.Any], reason: str) -> None:
    """What lacks something is refused when its module is imported, and the message says what it lacks."""
    with pytest.raises(TypeError, match=reason):
        declare(function, **more)


def test_both_spellings_of_an_optional_argument_are_understood() -> None:
    """``str | None`` means what ``Optional[str]`` does."""

    class Modern:
        @action(permission="view", changes=False, says="Done.")
        def act(self, *, text: t.Annotated[str | None, "A text."] = "x") -> None:
            """Act."""

    assert actions_of(Modern, "machine")["act"].bind({"text": None}) == {"text": None}


def test_a_derived_class_has_its_bases_actions() -> None:
    """A subclass inherits actions, and its own of the same name wins."""

    class More(Entity):
        @action(permission="define", changes=True, says="Done.")
        def need(self) -> None:
            """Need nothing."""

    found = actions_of(More, "machine")
    assert set(found) == {"take", "need"}
    assert found["need"].permission == "define"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", "a"),
        ("number", 3),
        ("share", 0.25),
        ("flag", True),
        ("colour", "blue"),
        ("words", ["a", "b"]),
        ("words", None),
        ("numbers", [1, 2]),
        ("colours", ["red", "red"]),
        ("mapping", {"a": [1]}),
    ],
)
def test_what_fits_is_bound_as_it_is(take: Action, name: str, value: t.Any) -> None:
    """Typed data passes unchanged."""
    assert take.bind({name: value}) == {name: value}


def test_an_integer_is_a_float_where_one_is_wanted(take: Action) -> None:
    """JSON does not tell 1 from 1.0."""
    assert isinstance(take.bind({"share": 1})["share"], float)


def test_a_type_that_binds_itself_hears_where_it_stands(take: Action) -> None:
    """A Bindable gets the data and the argument's name, and its errors pass."""
    assert take.bind({"pair": {"a": 1}}) == {"pair": ("pair", {"a": 1})}
    with pytest.raises(InvalidArgument, match="pair: not this one"):
        take.bind({"pair": "bad"})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("text", 1, "text: '1' is not of type str"),
        ("text", None, "text: a value is needed"),
        ("text", "a\x00b", "has characters that no text has"),
        ("words", ["a\ud800b"], r"words\[0\]: .* has characters that no text has"),
        ("number", True, "number: 'True' is not of type int"),
        ("number", 1.0, "is not of type int"),
        ("number", "1", "is not of type int"),
        ("number", 1 << 63, "is not of type int"),
        ("share", float("nan"), "share: 'nan' is not of type float"),
        ("share", float("inf"), "is not of type float"),
        ("share", 10**400, "is not of type float"),
        ("share", True, "is not of type float"),
        ("flag", 1, "flag: '1' is not of type bool"),
        ("flag", "yes", "is not of type bool"),
        ("colour", "green", "colour: 'green' is not possible; it is one of red, blue"),
        ("colour", ["red"], "is not of type str"),
        ("words", "a", "is not of type list"),
        ("words", ["a", 1], r"words\[1\]: '1' is not of type str"),
        ("words", ["a", None], r"words\[1\]: a value is needed"),
        ("numbers", [1, True], r"numbers\[1\]: 'True' is not of type int"),
        ("colours", ["red", "green"], r"colours\[1\]: 'green' is not possible"),
        ("mapping", [], "is not of type dict"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(take: Action, name: str, value: t.Any, reason: str) -> None:
    """The error names the argument, what was given and what is wanted."""
    with pytest.raises(InvalidArgument, match=reason):
        take.bind({name: value})


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("text", " kept as it is ", " kept as it is "),
        ("text", ["two", "lines"], "two\nlines"),
        ("number", " 12 ", 12),
        ("share", "0.25", 0.25),
        ("flag", "1", True),
        ("flag", "No", False),
        ("colour", "blue", "blue"),
        ("words", "a, b,", ["a", "b"]),
        ("words", '["a, b"]', ["a, b"]),
        ("words", ["a, b", "c"], ["a, b", "c"]),
        ("numbers", "1,2", [1, 2]),
        ("numbers", "[1, 2]", [1, 2]),
        ("mapping", '{"a": 1}', {"a": 1}),
        ("pair", ['{"a":', "1}"], ("pair", {"a": 1})),
    ],
)
def test_text_is_read_as_the_type_that_is_wanted(take: Action, name: str, written: t.Any, value: t.Any) -> None:
    """Forms and chats know strings only."""
    assert take.bind({name: written}, text=True) == {name: value}


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("number", "twelve"),
        ("number", "1.5"),
        ("share", "nan"),
        ("flag", "maybe"),
        ("words", "[a"),
        ("numbers", "1,b"),
        ("mapping", "{"),
        ("mapping", "[1]"),
        ("mapping", "[" * 200_000),
    ],
)
def test_text_that_cannot_be_read_is_refused_by_name(take: Action, name: str, written: str) -> None:
    """Also text that would exhaust the reader's stack."""
    with pytest.raises(InvalidArgument, match=name):
        take.bind({name: written}, text=True)


def test_an_unknown_argument_names_the_nearest(take: Action) -> None:
    """A slip of the pen is answered with what was probably meant."""
    with pytest.raises(InvalidArgument, match=r"take: unknown argument 'colur'. Did you mean colour"):
        take.bind({"colur": "red"})


def test_a_missing_argument_is_named() -> None:
    """What must be given is said."""
    with pytest.raises(InvalidArgument, match="need: name must be given"):
        actions_of(Entity, "machine")["need"].bind({})


def test_arguments_are_a_mapping(take: Action) -> None:
    """Whatever else came is refused."""
    with pytest.raises(InvalidArgument, match="mapping"):
        take.bind(json.loads('["text"]'))


def test_an_unknown_action_names_the_nearest() -> None:
    """And a far one names none."""
    with pytest.raises(UnknownAction, match=r"no action 'tak' here. Did you mean take\?"):
        find(actions_of(Entity, "machine"), "tak")
    with pytest.raises(UnknownAction, match=r"here\.$"):
        find(actions_of(Entity, "machine"), "zzz")
