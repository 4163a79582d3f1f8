"""Which servers a hub knows, with what each remembers of its objects.

Inside the hub its database tells, elsewhere its REST API. Both are asked as a whole: an answer
that may leave servers out is an error, never a shorter list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import aiohttp
import msgspec

from .kube.backoff import breathe

# Rows or users read at a time.
_PAGE = 500
# What a token must be allowed to see, of everybody.
_SCOPES = ("list:users", "read:servers")
_PAGINATED = "application/jupyterhub-pagination+json"


class HubUnavailable(Exception):
    """The hub could not be asked for all of its servers."""


@dataclass(frozen=True)
class Server:
    """A server that has a row in the hub's database.

    Attributes:
        active: whether it runs, starts or stops, as far as the hub knows.
        state: what ``KubeSpawner.get_state`` saved; empty if it is not known.
    """

    active: bool
    state: Mapping[str, Any] = field(default_factory=dict)

    def claims(self) -> Iterator[tuple[str | None, str]]:
        """Yield namespace (None: unknown) and name of every claim that is remembered."""
        book = self.state.get("claims")
        for namespace, claim in book.items() if isinstance(book, Mapping) else ():
            yield namespace, claim.get("name", "")
        if self.state.get("pvc_name"):
            yield self.state.get("namespace"), self.state["pvc_name"]

    def namespaces(self) -> Iterator[str]:
        """Yield the namespaces in which there may be something of this server."""
        if self.state.get("namespace"):
            yield self.state["namespace"]
        yield from (namespace for namespace, _ in self.claims() if namespace)


@dataclass
class Servers:
    """All users and servers of a hub.

    Attributes:
        users: names of all users.
        by_name: user name and server name ('' is the default server) to the server.
    """

    users: set[str] = field(default_factory=set)
    by_name: dict[tuple[str, str], Server] = field(default_factory=dict)

    def add(self, username: str, servername: str, server: Server) -> None:
        self.users.add(username)
        self.by_name[username, servername] = server

    def get(self, username: str, servername: str) -> Server | None:
        return self.by_name.get((username, servername))

    def namespaces(self) -> set[str]:
        return {name for server in self.by_name.values() for name in server.namespaces()}

    def remembers_claim(self, namespace: str, name: str) -> bool:
        """Whether any server, of whatever user, remembers this claim."""
        return (namespace, name) in self._claims or (None, name) in self._claims

    @cached_property
    def _claims(self) -> set[tuple[str | None, str]]:
        return {claim for server in self.by_name.values() for claim in server.claims()}


async def from_database(db: Any) -> Servers:
    """Return the servers that the hub's database has.

    Args:
        db: the hub's session; only the database that it is bound to is used, in a session of
            its own, so that nothing of the hub's is flushed or expired.
    """
    from jupyterhub import orm
    from sqlalchemy import Unicode, literal_column, select
    from sqlalchemy.orm import Session

    servers = Servers()
    user, spawner = orm.User, orm.Spawner
    with Session(bind=db.get_bind()) as session:
        servers.users.update(session.scalars(select(user.name)))
        last = 0
        while True:
            # As text: the hub's own type of column makes a warning of SQLAlchemy.
            state_text = literal_column(f"{spawner.__tablename__}.state", Unicode())
            columns = select(
                spawner.id, user.name, spawner.name, spawner.server_id, state_text
            ).join(user, spawner.user_id == user.id)
            page = columns.where(spawner.id > last).order_by(spawner.id).limit(_PAGE)
            rows = session.execute(page).all()
            for _, username, servername, server_id, state in rows:
                remembered = msgspec.json.decode(state) if state else {}
                server = Server(active=server_id is not None, state=remembered or {})
                servers.add(username, servername or "", server)
            if len(rows) < _PAGE:
                return servers
            last = rows[-1][0]
            await breathe()


async def from_rest_api(url: str, token: str) -> Servers:
    """Return the servers that the hub's REST API tells of.

    Args:
        url: of the API, such as ``http://hub:8081/hub/api``.
        token: with the scopes ``list:users`` and ``read:servers``, unfiltered; with
            ``admin:server_state`` also what the servers remember is known.

    Raises:
        HubUnavailable: it does not answer, or does not tell all.
    """
    headers = {"Authorization": f"token {token}"}
    try:
        async with aiohttp.ClientSession(
            headers=headers, timeout=aiohttp.ClientTimeout(total=60), raise_for_status=True
        ) as session:
            await _check_scopes(session, url)
            return await _all_pages(session, url)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as e:
        raise HubUnavailable(f"the hub at {url} can't be asked: {e or type(e).__name__}") from e


async def _check_scopes(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(f"{url.rstrip('/')}/user") as response:
        scopes = set((await response.json()).get("scopes") or ())
    missing = [scope for scope in _SCOPES if scope not in scopes]
    if missing:
        raise HubUnavailable(
            f"the token for {url} lacks the scopes {', '.join(missing)}, so the hub would not "
            "tell of all servers; those left out would be taken for leftovers"
        )


async def _all_pages(session: aiohttp.ClientSession, url: str) -> Servers:
    servers = Servers()
    page: str | None = f"{url.rstrip('/')}/users?include_stopped_servers=1&limit={_PAGE}"
    while page:
        async with session.get(page, headers={"Accept": _PAGINATED}) as response:
            body = await response.json(content_type=None)
        _add_users(servers, body["items"])
        following = body["_pagination"]["next"]
        page = _beside(page, following["offset"]) if following else None
    return servers


def _beside(page: str, offset: int) -> str:
    # Not the URL of the answer: that is the public one, which may not be reachable from here.
    return f"{page.partition('&offset=')[0]}&offset={offset}"


def _add_users(servers: Servers, users: Iterable[Mapping[str, Any]]) -> None:
    for user in users:
        servers.users.add(user["name"])
        for name, model in (user.get("servers") or {}).items():
            active = not model.get("stopped", False) or bool(model.get("pending"))
            servers.add(user["name"], name, Server(active, model.get("state") or {}))
