"""`--format`: Go templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.cli.template import NO_ENTRY, TemplateError, parse_template, unescape

VALUE = {
    "Name": "web one", "Count": 3, "Big": 67108864, "Ratio": 0.5, "On": True, "Off": False, "None": None, "Empty": [],
    "List": ["x", "y"], "State": {"Pid": 7, "Ports": {"80/tcp": [{"HostPort": "8080"}]}}, "Label": lambda key: f"<{key}>",
}  # fmt: skip

RENDERED = [
    ("plain", "plain"),
    ("{{.Name}}", "web one"),
    ("{{ .State.Pid }}", "7"),
    ("{{.Big}} {{.Ratio}} {{.On}}", "67108864 0.5 true"),
    ("{{.List}} {{.State}}", "[x y] map[Pid:7 Ports:map[80/tcp:[map[HostPort:8080]]]]"),
    ("{{.Nothing}}", "<no value>"),
    ("{{json .List}}", '["x","y"]'),
    ("{{json .State.Ports}}", '{"80/tcp":[{"HostPort":"8080"}]}'),
    ("{{range .List}}<{{.}}>{{end}}", "<x><y>"),
    ("{{range .Empty}}x{{else}}none{{end}}", "none"),
    ("{{range $i, $x := .List}}{{$i}}={{$x}};{{end}}", "0=x;1=y;"),
    ("{{range $k, $v := .State.Ports}}{{$k}} {{(index $v 0).HostPort}}{{end}}", "80/tcp 8080"),
    ("{{range .List}}{{$.Name}} {{end}}", "web one web one "),
    ("{{if .On}}a{{else}}b{{end}}", "a"),
    ("{{if .Off}}a{{else if .Empty}}b{{else}}c{{end}}", "c"),
    ("{{if and .On (eq .Count 3)}}yes{{end}}", "yes"),
    ("{{if not .Off}}yes{{end}}", "yes"),
    ("{{with .State}}{{.Pid}}{{end}}", "7"),
    ("{{with .Empty}}a{{else}}b{{end}}", "b"),
    ('{{index .State.Ports "80/tcp"}}', "[map[HostPort:8080]]"),
    ("{{index .List 1}}", "y"),
    ("{{len .List}} {{len .Name}}", "2 7"),
    ('{{join .List ", "}}', "x, y"),
    ('{{split .Name " "}}', "[web one]"),
    ("{{upper .Name}} {{title .Name}} {{lower .Name}}", "WEB ONE Web One web one"),
    ("{{truncate .Name 3}}", "web"),
    ('{{printf "%s-%d %v %q" .Name .Count .On .Name}}', 'web one-3 true "web one"'),
    ('{{println .Name .Count}}', "web one 3\n"),
    ("{{.Name | upper | printf \"%s!\"}}", "WEB ONE!"),
    ("{{$x := .Count}}{{$x}}{{$x = 4}}{{$x}}", "34"),
    ("{{eq .Count 1 2 3}} {{ne .Count 3}} {{lt .Count 4}} {{ge .Count 4}}", "true false true false"),
    ("{{or .Empty .Name}} {{and .Off .Name}}", "web one false"),
    ("a {{- .Count -}} b", "a3b"),
    ("a{{/* a comment */}}b", "ab"),
    ('{{.Label "x"}}', "<x>"),
    ("{{`raw \\n`}}", "raw \\n"),
    ('{{"tab\\t"}}', "tab\t"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "text"), RENDERED, ids=[template for template, _ in RENDERED])
def test_template_renders_as_in_go(template: str, text: str) -> None:
    """One line of the language for each case."""
    assert parse_template(template).render(VALUE) == text


REFUSED = [
    ("{{.Name", "template: :1: unclosed action"),
    ("{{foo}}", 'template: :1: function "foo" not defined'),
    ("{{if .On}}", "template: :1: unexpected EOF"),
    ("{{end}}", "template: :1: unexpected {{end}}"),
    ("{{}}", "template: :1: missing value for command"),
    ("{{$nope}}", 'template: :1: undefined variable "$nope"'),
    ("{{.Name.Foo}}", "template: :1:7: executing \"\" at <.Name.Foo>: can't evaluate field Foo in type string"),
    ("{{index .List 5}}", "template: :1: error calling index: index out of range: 5"),
    ("{{.Name 1}}", "template: :1: can't give argument to non-function Name"),
    ("{{range .Name}}{{end}}", "template: :1: range can't iterate over web one"),
    ("{{len .Count}}", "template: :1: error calling len: len of type int"),
]


@pytest.mark.parametrize(("template", "message"), REFUSED, ids=[template for template, _ in REFUSED])
def test_template_that_does_not_fit_says_where(template: str, message: str) -> None:
    """The message is Go's, which is what a search finds."""
    with pytest.raises(TemplateError) as caught:
        parse_template(template).render(VALUE)
    assert caught.value.message == message


def test_missing_key_is_an_error_where_the_keys_are_known() -> None:
    """`inspect -f '{{.Foo}}'` fails in Docker too: a typing mistake must not look like an empty answer."""
    with pytest.raises(TemplateError) as caught:
        parse_template("x {{.State.Foo}}", absent=NO_ENTRY).render(VALUE)
    assert caught.value.message == 'template: :1:10: executing "" at <.State.Foo>: map has no entry for key "Foo"'


def test_escapes_mean_tabs_and_lines() -> None:
    r"""Shells pass `\t` on as two characters, and `table {{.ID}}\t{{.Names}}` means a column."""
    assert unescape(r"a\tb\n") == "a\tb\n"


@given(text=st.text().filter(lambda text: "{{" not in text))
def test_text_without_actions_stays_as_it_is(text: str) -> None:
    """Only braces are special."""
    assert parse_template(text).render(VALUE) == text


@given(action=st.text(alphabet="{}.|()$\"' abIfrangeend:=1-", max_size=30))
def test_any_template_renders_or_is_refused(action: str) -> None:
    """Garbage ends in a message, never in a crash."""
    try:
        parse_template("{{" + action + "}}").render(VALUE)
    except TemplateError:
        pass
