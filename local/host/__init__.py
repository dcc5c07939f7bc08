"""A small Azure Functions host: runs an app by the triggers of its decorators.

HTTP and webhook differ from the real host as follows:

- Keys are valid until the host stops, and functions share one: no key is stored. A caller can pass
  keys of single functions.
- ``/admin`` and other webhooks are missing: neither the app nor Event Grid calls them.
- HTTP has no TLS and listens on the loopback interface only, because it serves one developer.
- Neither the number nor the duration of requests is limited (``maxConcurrentRequests``, 230
  seconds): a developer's machine does not show what a plan in Azure allows.
- Names of query parameters are case-sensitive: the app has no two that differ only in case.
- A request that is not valid HTTP gets a 400 with a text, from aiohttp: it reaches no function.
- An event that ends the host ends it before the event is queued: the developer sees the same.

Triggers and timers differ as follows:

- A problem of one function stops the whole app, except an invalid schedule: in Azure, the function
  is missing, which a developer notices late.
- The message of a blob whose host crashed comes again after 30 seconds instead of 10 minutes, and
  timers pause for up to 20 seconds instead of a minute: both are too long to wait for at every
  restart. One lease covers all timers instead of one for each function.
- The host lists the whole container every few seconds, and polls its queue without pause: it reads
  no storage logs, so that a small container shows each blob at once.
- A blob with a folder named "." or ".." in its name is not announced.
- The receipt of a blob follows its message, without a lease: of two hosts that scan at the same
  time, both can announce a blob, as any crash can in Azure.
- Timers have no monitor (``use_monitor``): no run is past due after a restart. Schedules are in
  UTC, without ``WEBSITE_TIME_ZONE``.
- Routes with constraints or optional parameters are refused: the app has none.
- An outage of storage ends the host once running functions have ended; Ctrl-C again ends them.
- A message in the queue that is not of a blob trigger is deleted with an error in the log.
- ``functionTimeout`` is not applied: a thread cannot be ended, and debugging takes long.
"""

from __future__ import annotations

from local.host.errors import (
    HostError,
    IndexingError,
    OutageError,
    Problem,
    SettingsError,
    UsageError,
)
from local.host.host import FunctionsHost
from local.host.keys import Keys
from local.host.settings import load_settings

__all__ = [
    "FunctionsHost",
    "HostError",
    "IndexingError",
    "Keys",
    "OutageError",
    "Problem",
    "SettingsError",
    "UsageError",
    "load_settings",
]
