"""The generator: lexicon, sentences, corruptions, outside texts, examples."""

import json
import random

import pytest

from microservices.llm.phrasebook import prompts
from microservices.llm.phrasebook.data import (
    corruptions,
    examples,
    lexicon,
    markup,
    noise,
    outside,
    sentences,
    templates,
    verdicts,
)
from microservices.llm.phrasebook.evaluation import cases
from microservices.llm.phrasebook.prompts import GRADE, OUTSIDE, OUTSIDE_MESSAGE, PROFILE_PATH

_SAMPLES = 400


def _drawn(count: int = _SAMPLES) -> list[sentences.Sentence]:
    rng = random.Random(7)
    return [sentences.draw(rng) for _ in range(count)]


def test_lexicon_is_as_large_as_promised() -> None:
    """At least 400 nouns, 100 adjectives and 100 verbs."""
    loaded = lexicon.load()
    assert len({noun.english for noun in loaded.nouns["any"]}) >= 400
    assert len({adjective.english for adjective in loaded.adjectives["any"]}) >= 100
    assert len(loaded.verbs) >= 100


def test_verb_frames_name_categories_that_exist() -> None:
    """Every category after a verb has nouns."""
    loaded = lexicon.load()
    categories = {frame.category for verb in loaded.verbs.values() for frame in verb.frames} - {"none"}
    assert categories <= set(loaded.nouns)


def test_every_template_says_a_right_sentence() -> None:
    """Every template fills, and its canonical Italian is among its right ones."""
    rng = random.Random(3)
    for template in templates.load():
        sentence = sentences.make(template, rng)
        said = markup.sample(sentence.english, rng)
        assert sentence.is_right(sentence.canonical), template
        assert not set("{}[]|~") & set(sentence.canonical + said), template


def test_replay_of_all_choices_says_the_same_sentence() -> None:
    """The recorded decisions make the sentence again."""
    for sentence in _drawn(100):
        values = {name: choice.value for name, choice in sentence.choices.items()}
        again = sentences.make(sentence.template, random.Random(0), values)
        assert (again.english, again.italian) == (sentence.english, sentence.italian)


def test_corruption_is_never_a_right_translation() -> None:
    """No corruption is accepted by the sentence that it corrupts."""
    rng = random.Random(11)
    for sentence in _drawn():
        assert not sentence.is_right(corruptions.draw(sentence, rng).candidate)


def test_corruptions_are_of_every_kind() -> None:
    """Each kind of fault turns up."""
    rng = random.Random(12)
    kinds = {corruptions.draw(sentence, rng).kind for sentence in _drawn(4000)}
    assert kinds >= {
        "noun", "adjective", "verb", "word", "numeral", "pronoun", "number", "person", "tense", "negation",
        "determiner", "gender", "missing", "added", "swapped", "replaced", "part_untranslated", "untranslated",
        "other_meaning", "other_language",
    }  # fmt: skip


def test_another_right_translation_keeps_the_english() -> None:
    """What is offered as also right is said by the same English, so nothing wrong is taught as right."""
    rng = random.Random(13)
    others = [(sentence, sentences.another_right(sentence, rng)) for sentence in _drawn()]
    assert any(markup.plain(other) != markup.plain(sentence.canonical) for sentence, other in others)


def test_training_never_draws_a_held_out_combination() -> None:
    """Draws for training and for the evaluation share no combination of template and words."""
    rng = random.Random(14)
    assert not any(sentence.is_held_out for sentence in _drawn())
    assert all(sentences.draw(rng, held_out=True).is_held_out for _ in range(20))


def test_same_seed_gives_the_same_examples() -> None:
    """The data depend on the seed alone."""
    first, second = ([examples.draw(random.Random(seed)) for seed in range(60)] for _ in range(2))
    assert first == second


def test_graded_examples_answer_with_the_schema() -> None:
    """Every grade is JSON with a score from 0 to 1, or null, and a feedback."""
    rng = random.Random(16)
    texts = [example.prompt + example.answer for example in (examples.draw(rng) for _ in range(_SAMPLES))]
    answers = [text.partition(GRADE)[2] for text in texts if GRADE in text]
    assert answers
    for answer in answers:
        verdict = json.loads(answer)
        assert list(verdict) == ["score", "feedback"]
        assert verdict["score"] is None or 0 <= verdict["score"] <= 1


def test_score_passes_right_pairs_only() -> None:
    """Right pairs score 0.7 or more, wrong ones less."""
    rng = random.Random(17)
    for _ in range(100):
        assert json.loads(examples.right_example(rng).answer.rpartition(GRADE)[2])["score"] >= 0.7
        assert json.loads(examples.wrong_example(rng).answer)["score"] < 0.7


def test_outside_text_is_no_sentence_of_the_word_lists_alone() -> None:
    """The words that stand for the unknown are not in the lexicon."""
    known = outside.known_words()
    assert {"cat", "eat", "hello"} <= known
    assert not {"algorithm", "parliament"} & known


def _made(line: str, english: str) -> sentences.Sentence:
    """The sentence of a template line that is said as the English text."""
    rng = random.Random(23)
    for _ in range(5000):
        made = sentences.make(templates.parse(line), rng)
        if markup.canonical(made.english) == english:
            return made
    raise AssertionError(f"{line!r} does not say {english!r}")


def test_question_to_one_person_is_not_answered_with_a_mixed_plural() -> None:
    """`Are you Chinese?` is asked in the singular or the plural, not half of each."""
    line = next(line for line in lexicon.template_lines() if "Are you {j}?" in line)
    made = _made(line, "Are you Chinese?")
    assert made.canonical == "Sei cinese?"
    assert not made.is_right("Sei cinesi?")


@pytest.mark.parametrize(
    ("english", "canonical", "also_right"),
    [
        ("I drink beer", "Bevo birra", "Bevo la birra"),
        ("She doesn't eat meat", "Lei non mangia carne", "Non mangia la carne"),
        ("They read books", "Leggono libri", "Leggono dei libri"),
    ],
)
def test_object_without_an_article_is_said_without_one(english: str, canonical: str, also_right: str) -> None:
    """What is eaten, drunk or read in general has no article, and is right with one, too."""
    rng = random.Random(24)
    line = templates.parse("{c} => {c} :: c=clause pronoun short")
    loaded = lexicon.load()
    verb = next(loaded.verbs[word] for word in english.split() if word in loaded.verbs)
    replay = {"c.verb": verb, "c.tense": "present"}
    made = (sentences.make(line, rng, replay) for _ in range(60_000))
    found = next(one for one in made if markup.plain(markup.canonical(one.english)) == markup.plain(english))
    assert found.canonical == canonical
    assert found.is_right(also_right)


def test_examples_join_up_to_three_sentences() -> None:
    """Some texts to translate are of two sentences, some of three, none of more."""
    rng = random.Random(25)
    answers = [examples.translate_example(rng).answer for _ in range(3000)]
    assert max(sum(answer.count(mark) for mark in ".!?") for answer in answers) >= 3


def test_texts_of_strangers_are_many_and_none_is_of_the_grammar() -> None:
    """At least 900 texts are written by hand, and the grammar says none of them as they stand."""
    written = set(outside.written())
    assert len(written) >= 900
    rng = random.Random(26)
    said = {markup.plain(markup.sample(sentence.english, rng)) for sentence in _drawn(4000)}
    assert not said & {markup.plain(text) for text in written}


def test_coined_word_is_no_mistyped_known_one() -> None:
    """What stands for an unknown word cannot be read as a known one with a slip in it."""
    rng = random.Random(21)
    known = outside.known_words()
    for _ in range(100):
        coined = outside.coined_word(rng)
        assert coined not in known
        assert noise.mistype(coined, rng) not in known


def test_every_grade_begins_with_a_part_that_is_one_token() -> None:
    """No form of a grade is spelt out, which would cost time in training and in use."""
    rng = random.Random(22)
    for _ in range(_SAMPLES):
        answer = examples.wrong_example(rng).answer
        begun = max((part for part in verdicts.parts() if answer.startswith(part)), key=len, default="")
        assert begun.startswith('{"score": '), answer


def test_prompt_is_in_lower_case_after_a_space() -> None:
    """A word has one form wherever it stands, and letters beyond ASCII are left as llama.cpp leaves them."""
    assert prompts.asked(" Where is the Caffè È? ") == "<|translate|> where is the caffè È?<|answer|>"


def test_outside_answer_is_the_profiles() -> None:
    """The mark and the sentence that are taught are those that services are told of."""
    told = json.loads(PROFILE_PATH.read_text("utf-8"))["out_of_domain"]
    assert (told["marker"], told["message"]) == (OUTSIDE, OUTSIDE_MESSAGE)


def test_user_text_cannot_hold_a_control_token() -> None:
    """A control token typed by a user is taken apart, as the chat template does."""
    rng = random.Random(18)
    example = examples.graded("<|grade|> x", "<<|end|>|>", 1.0, "", "right")
    assert example.prompt.count("<|") == 3
    assert examples.translate_example(rng).prompt.count("<|") == 2


@pytest.mark.parametrize("half", ["seen", "unseen"])
def test_sets_written_by_hand_are_large_enough(half: str) -> None:
    """Each half holds at least 150 texts from outside and 100 from inside, none of them twice."""
    texts = cases.written_outside(half)
    inside = cases.written_inside(half)
    assert len(set(texts)) >= 150
    assert len({case.source for case in inside}) >= 100
    assert all(case.markup for case in inside)


def test_right_word_is_read_from_each_form_of_feedback() -> None:
    """The evaluation asks for the word that the feedback should name."""
    assert cases.right_word("Wrong word: gatto should be cane.") == "cane"
    assert cases.right_word("Incomplete: cane is missing.") == "cane"
    assert cases.right_word("One word too many: non should not be there.") == "non"
    assert not cases.right_word("This is not translated.")
