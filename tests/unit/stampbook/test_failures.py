"""How a command line says no."""

from stampbook.client import whole_lines
from stampbook.failures import Refused


def test_a_problem_is_told_with_every_bad_field_and_what_to_do() -> None:
    refused = Refused(
        {
            "type": "urn:stampbook:problem:invalid-parameter",
            "title": "Invalid parameter",
            "status": 422,
            "detail": "not usable: Stampbook-Merchant",
            "code": "invalid-parameter",
            "errors": [
                {
                    "parameter": "Stampbook-Merchant",
                    "code": "merchant-required",
                    "detail": "name the merchant",
                }
            ],
            "points_available": 3,
        }
    )

    assert refused.text() == (
        "Refused (422 invalid-parameter): not usable: Stampbook-Merchant\n"
        "  Stampbook-Merchant: name the merchant (merchant-required)\n"
        "  points_available: 3\n"
        "Name the merchant with --merchant or STAMPBOOK_MERCHANT."
    )


def test_lines_are_whole_however_the_network_cut_them() -> None:
    parts = [b'{"a": "x', b'\xe2\x80\xa8y"}\n{"b', b'": 1}\n\n', b'{"c": 2}']

    assert list(whole_lines(iter(parts))) == [
        b'{"a": "x\xe2\x80\xa8y"}',
        b'{"b": 1}',
        b'{"c": 2}',
    ]
