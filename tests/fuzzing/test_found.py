"""What fuzzing found, each as small as it can be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from diagnose.logs.printable import printable
from diagnose.prescriptions.doses import dose_of
from diagnose.run import Run, Setup


def test_twice_as_many_epochs_as_a_number_can_hold_are_not_advised():
    def longer(epochs):
        return dose_of("train_longer", Run("", Setup(config={"epochs": epochs})), [])

    assert (longer(10).before, longer(10).after) == (10, 20)
    assert longer(1e308) is None


@given(st.text())
def test_no_text_from_strangers_holds_what_does_not_print(text):
    shown = printable({text: [text]})
    assert all(key.isprintable() and value == [key] for key, value in shown.items())
    assert not text.isprintable() or shown == {text: [text]}


def test_a_character_that_unicode_has_not_assigned_is_replaced_and_an_unusual_space_is_one():
    assert printable("a\u05fbb\u00a0c\u202ed\n") == "a\ufffdb c\ufffdd\ufffd"
