"""The folder of the SQLite database: made where nobody chose it, and expected where somebody named it.

A mistyped path would otherwise be made without a word, with an empty database in it.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from microservices.assistants.settings import DEFAULT_DATA_DIR, AssistantsSettings
from microservices.assistants.store.database import with_driver
from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ConfigurationError


def make_data_folder(settings: AssistantsSettings) -> None:
    """Make the folder that the database's file goes to, if there is to be one and it is not there.

    What lies inside the project's own data folder is made, as deep as it is. Elsewhere ASSISTANTS_DATA_DIR is made
    where its parent is, and the folder of DATABASE_URL's file must be there.

    Raises:
        ConfigurationError: A folder that must be there is not, or it cannot be made.
    """
    url = with_driver(settings.database)
    if url.get_backend_name() != "sqlite":
        return
    folder = Path(str(url.database)).parent
    by_url = settings.database_url is not None
    setting, expected = ("DATABASE_URL", folder) if by_url else ("ASSISTANTS_DATA_DIR", folder.parent)
    try:
        if not expected.exists() and not _is_ours(folder):
            raise ConfigurationError(
                f"{setting}: the folder {expected} is not there. Correct the path (a relative one starts at "
                f"{PROJECT_ROOT}), or make the folder: mkdir -p {shlex.quote(str(expected))}"
            )
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigurationError(
            f"{setting}: {folder} cannot be the folder of the database ({exc.strerror}). Name one that can be written."
        ) from exc


def _is_ours(folder: Path) -> bool:
    return folder.resolve().is_relative_to((PROJECT_ROOT / DEFAULT_DATA_DIR).resolve())
