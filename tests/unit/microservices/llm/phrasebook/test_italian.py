"""Italian word forms: articles, contractions, agreement, conjugation."""

import pytest

from microservices.llm.phrasebook.data import italian


@pytest.mark.parametrize(
    ("gender", "plural", "following", "article"),
    [
        ("m", False, "cane", "il"),
        ("m", False, "studente", "lo"),
        ("m", False, "zaino", "lo"),
        ("m", False, "amico", "l~"),
        ("f", False, "casa", "la"),
        ("f", False, "isola", "l~"),
        ("m", True, "cani", "i"),
        ("m", True, "studenti", "gli"),
        ("m", True, "amici", "gli"),
        ("f", True, "isole", "le"),
    ],
)
def test_definite_article_fits_gender_number_and_sound(gender: str, plural: bool, following: str, article: str) -> None:
    """The article depends on gender, number and how the next word begins."""
    assert italian.definite(gender, plural, following) == article


@pytest.mark.parametrize(
    ("gender", "following", "article"),
    [("m", "cane", "un"), ("m", "studente", "uno"), ("m", "amico", "un"), ("f", "casa", "una"), ("f", "amica", "un~")],
)
def test_indefinite_article_fits_gender_and_sound(gender: str, following: str, article: str) -> None:
    """`uno` stands before z and s with a consonant, an apostrophe before a feminine vowel."""
    assert italian.indefinite(gender, following) == article


@pytest.mark.parametrize(
    ("preposition", "article", "contracted"),
    [("di", "il", "del"), ("in", "la", "nella"), ("su", "gli", "sugli"), ("a", "l~", "all~"), ("con", "il", "con il")],
)
def test_contracted_preposition_joins_with_article(preposition: str, article: str, contracted: str) -> None:
    """Five prepositions join with the article, the others stand apart."""
    assert italian.contracted(preposition, article) == contracted


@pytest.mark.parametrize(
    ("adjective", "gender", "plural", "form"),
    [
        ("rosso", "f", True, "rosse"),
        ("bianco", "m", True, "bianchi"),
        ("simpatico", "m", True, "simpatici"),
        ("lungo", "f", True, "lunghe"),
        ("vecchio", "m", True, "vecchi"),
        ("felice", "f", True, "felici"),
        ("blu", "f", True, "blu"),
        ("in ritardo", "f", True, "in ritardo"),
    ],
)
def test_adjective_agrees_with_its_noun(adjective: str, gender: str, plural: bool, form: str) -> None:
    """Adjectives in -o have four forms, those in -e two, a few only one."""
    assert italian.agree(adjective, gender, plural) == form


@pytest.mark.parametrize(
    ("adjective", "gender", "plural", "following", "form"),
    [
        ("buono", "m", False, "libro", "buon"),
        ("buono", "m", False, "studente", "buono"),
        ("bello", "m", True, "occhi", "begli"),
        ("bello", "m", False, "libro", "bel"),
        ("bello", "f", False, "casa", "bella"),
    ],
)
def test_adjective_before_noun_takes_its_short_form(
    adjective: str, gender: str, plural: bool, following: str, form: str
) -> None:
    """`buono` and `bello` follow the articles when they stand before the noun."""
    assert italian.before_noun(adjective, gender, plural, following) == form


@pytest.mark.parametrize(
    ("noun", "gender", "plural"),
    [
        ("casa", "f", "case"),
        ("banca", "f", "banche"),
        ("arancia", "f", "arance"),
        ("camicia", "f", "camicie"),
        ("occhio", "m", "occhi"),
        ("parco", "m", "parchi"),
        ("città", "f", "città"),
        ("autobus", "m", "autobus"),
    ],
)
def test_plural_follows_the_ending(noun: str, gender: str, plural: str) -> None:
    """The regular plural keeps the sound of the singular."""
    assert italian.plural_of(noun, gender) == plural


def test_present_keeps_the_hard_sound() -> None:
    """Verbs in -care and -gare write an h before i."""
    assert italian.present("cercare", inserts_isc=False) == [
        "cerco",
        "cerchi",
        "cerca",
        "cerchiamo",
        "cercate",
        "cercano",
    ]


def test_present_inserts_isc_where_the_verb_does() -> None:
    """`capire` says capisco, capiamo."""
    assert italian.present("capire", inserts_isc=True)[0::3] == ["capisco", "capiamo"]


@pytest.mark.parametrize(
    ("infinitive", "stem", "first"),
    [
        ("mangiare", None, "mangerò"),
        ("cercare", None, "cercherò"),
        ("leggere", None, "leggerò"),
        ("bere", "berr", "berrò"),
    ],
)
def test_future_is_built_on_its_stem(infinitive: str, stem: str | None, first: str) -> None:
    """Verbs in -are change to -er-, and an irregular stem replaces the regular one."""
    assert italian.future(infinitive, stem)[0] == first
