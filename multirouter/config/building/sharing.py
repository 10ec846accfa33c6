"""The section `sharing` of a configuration file as the `sharing=` of a router."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multirouter.config.sections.sharing import SharingSection
    from multirouter.sharing.redis_sharing import RedisSharing


def make_sharing(section: SharingSection) -> RedisSharing:
    """Makes the `sharing=` of a router.

    Raises:
        ConfigurationError: a setting is invalid, or redis-py is not installed.
    """
    from multirouter.sharing.redis_sharing import RedisSharing

    settings = {name: getattr(section, name) for name in type(section).model_fields}
    url = settings.pop("url").get_secret_value()
    return RedisSharing(url, **settings)
