"""
Notifications through apprise: mail, chats, SMS, webhooks and a hundred services more, each an address.

Sends plain text. Never shows an address, which may hold a token, nor what apprise says about one.
"""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

from pydantic import Field, SecretStr

from dmarcops.errors import ConfigError, EdgeError
from dmarcops.ports import Finding
from dmarcops.settings import NoticeSettings

_LOG = logging.getLogger(__name__)
_HINT = "see what `apprise -vv --body test ADDRESS` says; the addresses are described at https://appriseit.com"


class Config(NoticeSettings):
    """What `[notify]` says."""

    urls: tuple[SecretStr, ...] = Field(min_length=1)
    """Addresses as apprise has them, each of which may be a secret; all are told."""


class Adapter:
    """
    Tells people through apprise.

    Args:
        config: What `[notify]` says.
    """

    def __init__(self, config: Config) -> None:
        self._urls = config.urls

    def tell(self, title: str, text: str) -> None:
        """
        Send a message to every address; when some cannot be told, a line in the log says which.

        Raises:
            ConfigError: The extra is not installed.
            EdgeError: Nobody could be told.
        """
        apprise = _library()
        failed = [place for place, url in enumerate(self._urls) if not _sent(apprise, url, title, text)]
        if not failed:
            return
        told = f"not delivered to {', '.join(f'urls[{place}]' for place in failed)} of [notify]"
        if len(failed) == len(self._urls):
            raise EdgeError(f"the notification was {told}", transient=True, hint=_HINT)
        _LOG.warning("a notification was %s (%s)", told, _HINT)

    def check(self) -> Sequence[Finding]:
        """See whether apprise understands the addresses, without sending; never raises."""
        try:
            apprise = _library()
        except ConfigError as error:
            return (Finding("problem", str(error)), Finding("hint", error.hint))
        findings = []
        for place, url in enumerate(self._urls):
            service = _service(apprise, url)
            if service is None:
                findings += [Finding("problem", f"apprise does not understand urls[{place}]"), Finding("hint", _HINT)]
            else:
                findings.append(Finding("ok", f"urls[{place}]: {service.service_name}"))
        return findings


def _library() -> Any:  # noqa: ANN401 - a module that may be absent
    try:
        import apprise  # noqa: PLC0415 - optional, and slow to load
    except ImportError as error:
        raise ConfigError("notifications need the package apprise", hint="pip install 'dmarcops[notify]'") from error
    # It logs what it was given: nothing of that is to get out.
    log = logging.getLogger("apprise")
    log.propagate = False
    log.handlers = [logging.NullHandler()]
    return apprise


def _service(apprise: Any, url: SecretStr) -> Any:  # noqa: ANN401 - as above
    """Return what apprise makes of an address, `None` when it does not understand it."""
    asset = apprise.AppriseAsset(
        app_id="dmarcops", app_desc="dmarcops", app_url="", image_url_mask="", image_url_logo=""
    )
    # It loads its services when the first is asked for, and some of them what Python has deprecated.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return apprise.Apprise.instantiate(url.get_secret_value(), asset=asset)


def _sent(apprise: Any, url: SecretStr, title: str, text: str) -> bool:  # noqa: ANN401 - as above
    service = _service(apprise, url)
    if service is None:
        return False
    services = apprise.Apprise()
    services.add(service)
    return bool(services.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT))
