"""The hubs that an operator names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from shared.errors import FilterError
from shared.imports.model.record import NO_HUB
from shared.imports.services import Services

__all__ = ["hub_names", "known_hubs"]


def known_hubs(services: Services) -> Sequence[str]:
    """The hubs that are configured, and those that uploads were claimed for, by name."""
    return sorted(services.all_hubs() - {NO_HUB})


def hub_names(services: Services, wanted: Collection[str]) -> Sequence[str]:
    """The names of hubs that are named so, or by their folders in `IOTHUB`; sorted.

    A name has precedence over a folder, as answers and links contain names.

    Raises:
        FilterError: there is no such hub.
    """
    if not wanted:
        return []
    known, by_folder = (*known_hubs(services), NO_HUB), services.settings.hub.routes.by_folder
    names = set()
    for text in wanted:
        if text in known:
            names.add(text)
        elif text and text in by_folder:
            names.add(by_folder[text].name)
        else:
            folders = {hub.name: folder for folder, hub in by_folder.items() if folder}
            choices = (f"{hub} (folder {folders[hub]})" if hub in folders else hub for hub in known)
            raise FilterError("hub", f"There is no hub {text!r}. Hubs: {', '.join(choices)}.")
    return sorted(names)
