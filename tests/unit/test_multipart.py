"""Forms, as clients write them and as nobody should."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import MalformedRequest, RequestError, RequestTooLarge
from serving.protocols.multipart import Part, parts

TYPE = "multipart/form-data; boundary=cut"
FILE = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
TEXT = b'Content-Disposition: form-data; name="model"\r\n\r\n'


def form(*written: bytes, end: bytes = b"--cut--\r\n") -> bytes:
    """A body of these parts, each with its headers."""
    return b"".join(b"--cut\r\n" + part + b"\r\n" for part in written) + end


def refused(body: bytes, content_type: str = TYPE) -> str:
    with pytest.raises(MalformedRequest) as caught:
        parts(body, content_type)
    return str(caught.value)


def test_files_and_texts_come_in_their_order() -> None:
    assert parts(form(FILE + b"\x89PNG\r\n--cu", TEXT + b"eyes", FILE), TYPE) == [
        Part("image", "a.png", b"\x89PNG\r\n--cu"),
        Part("model", None, b"eyes"),
        Part("image", "a.png", b""),
    ]


@pytest.mark.parametrize("size", [0, 1, 65_000, 65_536, 65_537, 300_000])
def test_a_file_of_any_size_comes_whole(size: int) -> None:
    data = (b"\r\n--cu\r\n" * (size // 8 + 1))[:size]
    found = parts(form(FILE + data, TEXT + b"x"), TYPE)
    assert [part.data for part in found] == [data, b"x"]


def test_a_preamble_and_an_epilogue_are_nobodys_part() -> None:
    assert parts(b"hello\r\n" + form(TEXT + b"x") + b"bye", TYPE) == [Part("model", None, b"x")]
    assert parts(form(), TYPE) == []


@pytest.mark.parametrize(
    "boundary",
    ["", "; boundary=", "; boundary=" + "x" * 201, "; boundary=é", '; boundary=""', "; charset=x"],
)
def test_a_boundary_is_needed(boundary: str) -> None:
    said = refused(form(TEXT), f"multipart/form-data{boundary}")
    assert said.startswith("Content-Type: expected multipart/form-data with a boundary")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--cut",
        b"--cut\r\n",
        b"hello",
        form(FILE + b"data", end=b""),
        form(FILE + b"data", end=b"--cu"),
        form(b"Content-Type: image/png\r\n\r\ndata"),
        form(b"Content-Disposition: form-data\r\n\r\ndata"),
        form(b'Content-Disposition: form-data; name=""\r\n\r\ndata'),
        form(b'Content-Disposition: form-data; name="\xff"\r\n\r\ndata'),
        form(b"no headers at all"),
    ],
)
def test_what_is_no_form_is_malformed(body: bytes) -> None:
    assert refused(body).startswith("body: no multipart/form-data that could be read")


def test_only_so_many_parts() -> None:
    assert len(parts(form(*[TEXT] * 1000), TYPE)) == 1000
    with pytest.raises(RequestTooLarge, match="more than 1000 parts"):
        parts(form(*[TEXT] * 1001), TYPE)


@pytest.mark.parametrize(
    "body",
    [
        b"--cut\r\n" + b"a\r\n" * 5_000_000,
        b"a\n" * 8_000_000,
        form(TEXT) + b"\n" * 16_000_000,
        form(b"x: y\r\n" * 30_000 + FILE),
    ],
    ids=["headers without an end", "no part at all", "much behind the end", "many headers"],
)
def test_endless_headers_are_refused_before_they_are_taken_apart(body: bytes) -> None:
    begun = time.process_time()
    assert "bytes of headers, or of no part" in refused(body)
    assert time.process_time() - begun < 0.5


def test_boundaries_that_are_none_cost_no_more_than_others() -> None:
    data = (b"\r\n--cut" + b" " * 200 + b"x") * 75_000
    begun = time.process_time()
    assert len(parts(form(FILE + data), TYPE)[0].data) == len(data)
    assert time.process_time() - begun < 2


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 50))
def test_whatever_the_bytes_it_is_a_form_or_the_clients_mistake(
    noise: bytes, at: int, over: int
) -> None:
    good = form(FILE + b"data", TEXT + b"x")
    for body in (noise, form(noise), good[:at] + noise + good[at + over :]):
        try:
            found = parts(body, TYPE)
        except RequestError:
            continue
        assert sum(len(part.data) for part in found) <= len(body)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=100))
def test_whatever_the_header_it_is_a_boundary_or_the_clients_mistake(text: str) -> None:
    try:
        parts(b"", f"multipart/form-data{text}")
    except RequestError:
        pass
    else:
        pytest.fail("nothing is no form")
