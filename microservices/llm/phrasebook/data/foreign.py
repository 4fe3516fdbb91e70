"""French, Spanish and German sentences, to be graded as not Italian."""

import random

_OPENINGS = (
    "Je vois", "Tu manges", "Il achète", "Nous cherchons", "Yo veo", "Tú comes", "Él compra", "Nosotros buscamos",
    "Ich sehe", "Du isst", "Er kauft", "Wir suchen", "Elle a", "Ella tiene", "Sie hat", "Où est", "Dónde está",
    "Wo ist",
)  # fmt: skip
_OBJECTS = (
    ("la maison", "le chien", "l'eau", "les livres", "la gare", "une pomme", "mon frère", "le petit chat"),
    ("la casa", "el perro", "el agua", "los libros", "la estación", "una manzana", "mi hermano", "el gato pequeño"),
    ("das Haus", "den Hund", "das Wasser", "die Bücher", "der Bahnhof", "einen Apfel", "meinen Bruder", "die Katze"),
)
_PHRASES = (
    "Bonjour, comment ça va?", "Hola, ¿cómo estás?", "Hallo, wie geht es dir?", "Merci beaucoup!", "¡Muchas gracias!",
    "Vielen Dank!", "Bonne nuit!", "¡Buenas noches!", "Gute Nacht!", "Raconte-moi une blague", "Cuéntame un chiste",
    "Erzähl mir einen Witz", "Pourquoi le ciel est-il bleu?", "¿Por qué el cielo es azul?",
    "Warum ist der Himmel blau?",
    "Quelle est la capitale de la France?", "¿Cuál es la capital de Francia?", "Was ist die Hauptstadt von Frankreich?",
    "Je m'appelle Anna", "Me llamo Marco", "Ich heiße Maria", "Je ne parle pas italien", "No hablo italiano",
)  # fmt: skip


def draw(rng: random.Random) -> str:
    """A French, Spanish or German text by chance."""
    if rng.random() < 0.5:
        return rng.choice(_PHRASES)
    opening = rng.randrange(len(_OPENINGS))
    language = (opening // 4) % 3 if opening < 12 else opening % 3
    return f"{_OPENINGS[opening]} {rng.choice(_OBJECTS[language])}"
