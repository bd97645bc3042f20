"""Ids of ours have the forms that others expect."""

from __future__ import annotations

import uuid

from serving.answer import trusted_id
from serving.identity import new_prediction_id, new_request_id


def test_a_prediction_id_is_a_random_uuid_in_its_usual_form() -> None:
    made = {new_prediction_id() for _ in range(1000)}
    assert len(made) == 1000
    for text in made:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)
    assert {text[19] for text in made} == set("89ab")


def test_a_request_id_of_ours_has_the_form_that_is_agreed_for_the_clients() -> None:
    made = {new_request_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(trusted_id(text) == text for text in made)
