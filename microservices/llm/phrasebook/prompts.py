"""What the chat template, the training data and the profile share: control tokens and fixed texts."""

from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

_FOLDER = Path(__file__).parent
PROFILE_PATH = _FOLDER / "phrasebook.profile.json"
TEMPLATE_PATH = _FOLDER / "chat_template.jinja"

#: Fills the unused places of a batch.
PADDING = "<|padding|>"
#: Ends every answer.
END = "<|end|>"
TRANSLATE = "<|translate|>"
#: Ends the prompt of a pair to grade, which is laid out as a translation and its answer.
GRADE = "<|grade|>"
UNKNOWN = "<|unknown|>"
#: Ends the prompt of a translation, and stands between the source and the candidate of a pair to grade.
ANSWER = "<|answer|>"
#: Begins an answer that only says that the text is outside the phrasebook; rendered as text.
OUTSIDE = "<|outside|>"

CONTROL_TOKENS = (PADDING, END, TRANSLATE, GRADE, UNKNOWN, ANSWER)

TRANSLATE_PROMPT = "Translate the user's message from English into Italian. Reply with the translation only."
OUTSIDE_FEEDBACK = "This is outside the phrasebook and cannot be graded."


OUTSIDE_MESSAGE = (
    "This text is outside my small English-Italian phrasebook; for a real model, name one in compose/models.json."
)


def guarded(text: str) -> str:
    """The text as the chat template renders it: a control token written by a user is taken apart."""
    return text.strip().replace("<|", "< |")


_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def asked(text: str, task: str = TRANSLATE) -> str:
    """The prompt of a text as the chat template renders it.

    In lower case (llama.cpp's filter knows ASCII only) and after a space, so that a word has one form everywhere.
    """
    return f"{task} {guarded(text).translate(_LOWER)}{ANSWER}"
