"""How the question is read from the command line's words."""

import pytest

from meshctl.diagnose.question import BadQuestion, Question, parse_question, service_of


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["web -> catalog:8080"], Question("web", "", "catalog", 8080)),
        (["web", "->", "catalog:8080"], Question("web", "", "catalog", 8080)),
        (["web->catalog:8080"], Question("web", "", "catalog", 8080)),
        (["web→catalog:8080"], Question("web", "", "catalog", 8080)),
        (["web", "to", "catalog"], Question("web", "", "catalog", None)),
        (["shop/web", "http://catalog.shop:80/"], Question("web", "shop", "catalog.shop", 80)),
        (
            ["web.shop", "catalog.shop.svc.cluster.local."],
            Question("web", "shop", "catalog.shop.svc.cluster.local", None),
        ),
    ],
)
def test_with_an_arrow_or_without(words: list[str], expected: Question) -> None:
    assert parse_question(words) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["web", "-"], "the shell took `>`"),
        (["web"], "say who calls whom"),
        (["web ->"], "say who calls whom"),
        (["a", "b", "c"], "say who calls whom"),
        (["we_b", "catalog"], "client 'we_b'"),
        (["sh op/web -> x"], "say who calls whom"),
        (["s_p/web", "x"], "client 's_p/web'"),
        (["web", "cata_log:80"], "destination 'cata_log:80'"),
        (["web", "catalog:http"], "'http' is not a port"),
        (["web", "catalog:70000"], "'70000' is not a port"),
        (["web", "catalog:"], "'' is not a port"),
    ],
)
def test_what_does_not_say_it_is_refused_with_the_mend(words: list[str], message: str) -> None:
    with pytest.raises(BadQuestion, match=message.replace("?", r"\?")):
        parse_question(words)


def test_a_question_reads_as_it_was_asked() -> None:
    assert str(Question("web", "", "catalog", 8080)) == "web -> catalog:8080"
    assert str(Question("web", "shop", "catalog", None)) == "shop/web -> catalog"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("catalog", ("shop", "catalog")),
        ("catalog.prod", ("prod", "catalog")),
        ("catalog.prod.svc", ("prod", "catalog")),
        ("catalog.prod.svc.cluster.local", ("prod", "catalog")),
    ],
)
def test_a_name_means_a_service(host: str, expected: tuple[str, str]) -> None:
    assert service_of(host, "shop") == expected
