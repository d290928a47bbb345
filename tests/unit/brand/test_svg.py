"""Logos as SVG: the attacks that one can carry, and what is left of an honest one."""

import time

import pytest

from wardgate.brand.svg import MAX_DEPTH, MAX_ELEMENTS, clean_svg
from wardgate.errors import SettingsError

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 100 24">'


def drawing(inside: str, head: str = HEAD) -> bytes:
    return f"{head}{inside}</svg>".encode()


def refused(inside: str, head: str = HEAD) -> str:
    with pytest.raises(SettingsError) as error:
        clean_svg(drawing(inside, head))
    return error.value.message


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        '<script href="https://evil.test/x.js"/>',
        '<h:script xmlns:h="http://www.w3.org/1999/xhtml">alert(1)</h:script>',
        "<g><g><script/></g></g>",
        "<SCRIPT/>",
    ],
)
def test_script_in_a_logo_is_refused(inside: str) -> None:
    assert "script" in refused(inside).lower()


@pytest.mark.parametrize(
    "element", ["foreignObject", "iframe", "image", "use", "style", "a", "animate", "set", "text", "filter", "mask", "symbol"]
)
def test_element_that_does_more_than_draw_is_refused(element: str) -> None:
    assert f"<{element}>" in refused(f"<{element}/>")


@pytest.mark.parametrize("name", ["onload", "onclick", "onerror", "ONLOAD", "onbegin"])
def test_event_attribute_is_refused(name: str) -> None:
    assert "event attribute" in refused(f'<rect {name}="alert(1)"/>')
    assert "event attribute" in refused("", HEAD.replace("viewBox", f'{name}="x" viewBox'))


@pytest.mark.parametrize(
    "inside",
    [
        '<rect fill="url(https://evil.test/a.svg#b)"/>',
        '<rect fill="URL( //evil.test )"/>',
        '<rect style="fill:url(https://evil.test/x)"/>',
        '<rect style="background:url(data:text/html,x)"/>',
        '<rect clip-path="url(other.svg#a)"/>',
        '<linearGradient xlink:href="https://evil.test/g.svg#a"/>',
        '<linearGradient href="data:image/svg+xml,x"/>',
        '<linearGradient xlink:href="javascript:alert(1)"/>',
        '<path xlink:href="#a" d="M0 0"/>',
        '<g xml:base="https://evil.test/"/>',
        '<rect cursor="url(https://evil.test/c)"/>',
    ],
)
def test_external_reference_is_refused(inside: str) -> None:
    assert "outside the drawing" in refused(inside)


@pytest.mark.parametrize("style", ["fill:\\75 rl(//evil.test)", "@import 'x'", "fill:/**/red"])
def test_style_that_is_written_to_be_misread_is_refused(style: str) -> None:
    assert "style" in refused(f'<rect style="{style}"/>')


def test_entities_that_grow_or_read_files_are_refused() -> None:
    laughs = '<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + drawing("&b;").decode()
    files = '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + drawing("&x;").decode()
    for attack in (laughs, files):
        with pytest.raises(SettingsError, match="document type"):
            clean_svg(attack.encode())


def test_document_that_is_not_svg_at_all_is_refused() -> None:
    for attack in (b"", b"<html><script>1</script></html>", b"\x00\x01", b"<svg/>", drawing("<g>"), b"<svg xmlns='x'/>"):
        with pytest.raises(SettingsError):
            clean_svg(attack)


@pytest.mark.parametrize("name", ["width", "stroke-dasharray", "transform", "d", "points", "fill", "id", "style", "viewBox"])
@pytest.mark.parametrize("piece", ["1", "1 ", "1,", "-", "e1", "scale(1) ", "rgb(", " "])
def test_value_that_makes_a_pattern_try_for_ever_is_read_at_once(name: str, piece: str) -> None:
    began = time.process_time()
    cleaned = clean_svg(drawing(f'<path {name}="{piece * (30_000 // len(piece))}!"/>')).content
    assert time.process_time() - began < 2
    assert cleaned.endswith(b"<path></path></svg>")


def test_word_that_only_holds_url_is_no_reference() -> None:
    assert b'id="curl"' in clean_svg(drawing('<path id="curl" class="hurly" d="M0 0"/>')).content


def test_svg_inside_svg_is_refused() -> None:
    assert "<svg>" in refused('<svg viewBox="0 0 1 1"/>')


def test_endless_logo_is_refused() -> None:
    assert str(MAX_ELEMENTS) in refused("<g/>" * MAX_ELEMENTS)
    assert str(MAX_ELEMENTS) in refused("<g>" * MAX_DEPTH + "</g>" * MAX_DEPTH)


@pytest.mark.parametrize("box", ["", 'viewBox="0 0 0 10"', 'viewBox="a b c d"', 'width="100%" height="10"', 'viewBox="0 0 1e99 1"'])
def test_logo_without_a_size_is_refused(box: str) -> None:
    assert "size" in refused("", HEAD.replace('viewBox="0 0 100 24"', box))


def test_values_that_break_out_of_an_attribute_are_not_written() -> None:
    cleaned = clean_svg(drawing('<rect fill="red&quot;&gt;&lt;script&gt;" d="M0 0&#34;" id="a b" width="10"/>')).content
    assert cleaned == b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 24"><rect width="10"></rect></svg>'


def test_honest_logo_of_a_drawing_program_keeps_its_shapes_and_loses_the_rest() -> None:
    inkscape = (
        '<?xml version="1.0" encoding="UTF-8"?><!-- made by hand --><?xml-stylesheet href="x.css"?>'
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="200" height="48px" version="1.1"'
        ' xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" inkscape:version="1.2">'
        "<title>Acme</title><metadata><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/></metadata>"
        '<defs><linearGradient id="g">'
        '<stop offset="0" style="stop-color:#f00;stop-opacity:.5;-inkscape-stroke:none"/></linearGradient>'
        '<linearGradient id="h" xlink:href="#g" gradientTransform="rotate(45)"/></defs>'
        '<g inkscape:label="1" class="c" transform="translate(1,2) scale(.5)">'
        '<path d="M 10,10 h 5 z" fill="url(#h)" style="stroke:none" data-name="x"/>words</g></svg>'
    )
    cleaned = clean_svg(inkscape.encode())
    assert (cleaned.width, cleaned.height) == (200, 48)
    assert cleaned.content.decode() == (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 48"><defs><linearGradient id="g">'
        '<stop offset="0" stop-color="#f00" stop-opacity=".5"></stop></linearGradient>'
        '<linearGradient id="h" href="#g" gradientTransform="rotate(45)"></linearGradient></defs>'
        '<g transform="translate(1,2) scale(.5)"><path d="M 10,10 h 5 z" fill="url(#h)" stroke="none"></path></g></svg>'
    )
    assert clean_svg(cleaned.content).content == cleaned.content
