"""The plan of a device file for the registry of a hub, which is read by lookups or an export."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta

from cli.connection import connected
from cli.device_file import read_mapping_file
from cli.errors import CommandError, Exit
from cli.export_job import exported
from cli.hub_access import chosen_hub, hub_errors, patiently
from cli.lookups import MAX_LINES, NO_WAIT, Lookups, seconds_of_export
from cli.output import Output
from cli.planning import DeviceFile, GoodLines, plan_device_file
from cli.registry import Registry
from cli.times import full_time
from shared.hub.exceptions import HubUnauthorizedError
from shared.imports.services import Services
from shared.imports.workflow.intake import configured_validation
from shared.plan.file_devices import FileDevices
from shared.plan.snapshot import ExportError, Snapshot, export_lines
from shared.settings import Settings
from shared.text import format_duration

__all__ = ["plan_for_hub", "snapshot_of_export"]

#: Settings by the options that stand for them.
_SETTINGS = {
    "policy": "policy",
    "max_devices": "max_devices",
    "max_deletes": "max_deletes",
    "max_delete_share": "max_delete_share",
    "default_status": "csv_default_status",
    "default_import_mode": "csv_default_import_mode",
}


def plan_for_hub(options: argparse.Namespace, output: Output) -> Exit:
    """Plan a file with the settings of the app.

    Raises:
        CommandError: the settings are invalid, or hub or storage cannot be reached.
    """
    with connected(options.settings) as importer:
        services = importer.services
        hub = chosen_hub(options.hub, services)
        settings = _with_options(services.settings, options)
        validation = configured_validation(
            settings, options.file, options.confirm_deletes, read_mapping_file(options)
        )
        file = DeviceFile(options.file, validation, settings.validation.policy)
        return plan_device_file(
            file,
            lambda devices, lines: _registry(services, hub, devices, lines, output),
            output,
            detail=options.detail,
        )


def _with_options(settings: Settings, options: argparse.Namespace) -> Settings:
    given = {
        name: value
        for option, name in _SETTINGS.items()
        if (value := getattr(options, option)) is not None
    }
    return replace(settings, validation=settings.validation.model_copy(update=given))


@contextmanager
def _registry(
    services: Services, hub: str, devices: FileDevices, lines: GoodLines, output: Output
) -> Iterator[Registry]:
    with hub_errors(hub):
        lookups = Lookups(lines) if devices.lines <= MAX_LINES else None
        snapshot = None
        if lookups is not None and _are_faster(lookups, services, hub, output):
            snapshot = _looked_up(lookups, services, hub, output)
        source = "export" if snapshot is None else "lookups"
        if snapshot is None:
            snapshot = snapshot_of_export(services, hub, devices, output, keys=lines.have_keys)
    with closing(snapshot):
        count = f" ({snapshot.devices:,} devices)" if snapshot.devices is not None else ""
        read = "looked up" if snapshot.devices is None else "exported"
        title = f"the registry of {hub}{count}, {read} {full_time(snapshot.as_of)}"
        yield Registry(snapshot, source, title)


def _are_faster(lookups: Lookups, services: Services, hub: str, output: Output) -> bool:
    if lookups.requests <= NO_WAIT:
        return True
    with output.activity(f"Counting the devices of {hub}") as show:
        count = patiently(services.hubs[hub].count_devices, show)
    return count is not None and lookups.seconds < seconds_of_export(count)


def _looked_up(lookups: Lookups, services: Services, hub: str, output: Output) -> Snapshot | None:
    """The devices of a small file; None if single devices cannot be read."""
    snapshot = Snapshot(services.clock(), has_keys=True)
    try:
        title = f"Looking up {lookups.devices:,} device{'s'[: lookups.devices != 1]} at {hub}"
        about = lookups.seconds and f"about {format_duration(timedelta(seconds=lookups.seconds))}"
        with output.activity(title, about or "") as show:
            lookups.read(services.hubs[hub], snapshot, title, show)
    except HubUnauthorizedError as error:
        snapshot.close()
        if error.details is None:
            raise
        # A policy may allow jobs but no twins, and a hub hides modules of disabled devices.
        output.note(f"{hub} does not allow these lookups: its registry is exported instead.")
        return None
    except BaseException:
        snapshot.close()
        raise
    return snapshot


def snapshot_of_export(
    services: Services, hub: str, devices: FileDevices, output: Output, *, keys: bool
) -> Snapshot:
    """The devices of a file in a new export of the registry.

    Raises:
        CommandError: the hub has no slot for a job or refuses it, or its export is damaged.
    """
    with exported(services, hub, output, keys=keys) as export:
        snapshot = Snapshot(export.as_of, has_keys=keys)
        try:
            with output.progress("reading the export", export.file.size) as advance:

                def chunks() -> Iterator[bytes]:
                    for chunk in export.file.chunks():
                        yield chunk
                        advance(len(chunk))

                snapshot.read_export(export_lines(chunks()), devices.__contains__)
        except ExportError as error:
            snapshot.close()
            raise CommandError(Exit.NO_ACCESS, f"The hub {hub}: {error}") from None
        except BaseException:
            snapshot.close()
            raise
    return snapshot
