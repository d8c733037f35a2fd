import pytest
from jinja2 import DictLoader, UndefinedError
from markupsafe import Markup

from lit_cv.pages.document import document, environment, figure


def test_plain_text_is_escaped_and_html_is_not():
    text = document(title="a <b> & c", facts='"<i>"', body="<p>x</p>", style=".p > q { color: red; }")
    assert "<title>a &lt;b&gt; &amp; c</title>" in text
    assert "<h1>a &lt;b&gt; &amp; c</h1>" in text
    assert '<p class="facts">&#34;&lt;i&gt;&#34;</p>\n<p>x</p>\n' in text
    assert ".p > q { color: red; }</style>" in text
    assert "<script>" not in text
    assert "http-equiv" not in text


def test_a_figure_is_html_with_an_escaped_caption():
    found = figure(b"\x00\xff", "png", 'x <1> "y"')
    caption = "x &lt;1&gt; &#34;y&#34;"
    assert isinstance(found, Markup)
    assert found.strip() == (
        '<figure><label><input type="checkbox" aria-label="full size">'
        f'<img alt="{caption}" src="data:image/png;base64,AP8="></label><figcaption>{caption}</figcaption></figure>'
    )


def test_templates_of_another_folder_extend_the_document(tmp_path):
    (tmp_path / "own.html.jinja").write_text(
        '{% extends "document.html.jinja" %}{% block body %}<b>{{ value }}</b>{% endblock %}'
    )
    template = environment(tmp_path).get_template("own.html.jinja")
    text = template.render(title="t", facts="f", value="<x>", refresh=7, script=Markup("let a = 1 < 2;"))
    assert "<b>&lt;x&gt;</b>" in text
    assert '<meta http-equiv="refresh" content="7">' in text
    assert "<script>\nlet a = 1 < 2;</script>" in text


def test_a_missing_variable_is_an_error():
    shared = environment().overlay(loader=DictLoader({"x": "{{ nothing }}"}))
    with pytest.raises(UndefinedError, match="'nothing' is undefined"):
        shared.get_template("x").render()
