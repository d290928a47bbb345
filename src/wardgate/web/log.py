"""The live login log: the stream with its filters, one login on one axis, and the events that keep an open page up to date."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.audit.timeline import by_reference
from wardgate.clock import to_ms
from wardgate.web.access import Closed, require_operator
from wardgate.web.context import WebContext
from wardgate.web.feed import MAX_ROWS_PER_LOOK, Cursor, Piece, events
from wardgate.web.language import language_of_request
from wardgate.web.log_query import Filters, filters_of, read_incidents, read_new, read_page, reference_of, row_id_of
from wardgate.web.render import Pages
from wardgate.web.streams import EventStream
from wardgate.web.view import RESULTS, Entry, Incident, entry_of, harmless, login_of

NO_ROW = "0" * 24
MAX_REFERENCE_CHARS = 40
# Several readers of the same stream share what was rendered.
MAX_RENDERED_ROWS = 200


class LogPages:
    """The pages under `/admin/log`."""

    def __init__(self, context: WebContext, pages: Pages) -> None:
        self._context = context
        self._pages = pages
        self._rows = RenderedRows(pages)

    def routes(self) -> list[Route]:
        """The routes, the narrow ones first."""
        return [
            Route("/admin/log", self.stream_page),
            Route("/admin/log/stream", self.stream),
            Route("/admin/log/{reference}", self.login_page),
        ]

    async def stream_page(self, request: Request) -> Response:
        """The newest requests, or a page further back."""
        session = await require_operator(request, self._context)
        if asked := request.query_params.get("reference", "").strip():
            return RedirectResponse(f"/admin/log/{reference_of(asked) or 'unknown'}", status_code=303)
        filters, before = filters_of(request.query_params), row_id_of(request.query_params.get("before"))
        page = await read_page(self._context.storage, self._context.ring(), filters, before)
        newest_id = page.entries[0].id if page.entries else NO_ROW
        return self._pages.page(
            request,
            "log.html",
            posts=session is not None,
            entries=page.entries,
            older=filters.query(before=page.older) if page.older else None,
            newest=filters.query() if before else None,
            filters=filters,
            results=tuple(RESULTS),
            nas_names=sorted({entry.nas for entry in page.entries if entry.nas}),
            stream=None if before else filters.query(after=newest_id),
            session=session,
            incidents=_sorted_out(await read_incidents(self._context.storage, to_ms(self._context.clock.now()))),
        )

    async def login_page(self, request: Request) -> Response:
        """One login: all its requests on one axis, each with its steps."""
        session = await require_operator(request, self._context)
        reference = reference_of(request.path_params["reference"][:MAX_REFERENCE_CHARS])
        rows = await by_reference(self._context.storage, reference) if reference else []
        if not rows:
            raise Closed(404, "live.no_such_reference")
        login = login_of([entry_of(row) for row in rows])
        return self._pages.page(request, "login.html", posts=session is not None, login=login, reference=reference, session=session)

    async def stream(self, request: Request) -> Response:
        """What is new, as events; the reader says what it has by Last-Event-ID or, at first, in the address."""
        await require_operator(request, self._context)
        after = row_id_of(request.headers.get("last-event-id")) or row_id_of(request.query_params.get("after")) or NO_ROW
        streams = self._context.streams
        wake = streams.enter()
        if wake is None:
            raise HTTPException(503, headers={"retry-after": "30"})
        stop_listening = self._context.recorder.listen(wake.set)

        def left() -> None:
            stop_listening()
            streams.leave(wake)

        look = LogLook(self._context, self._rows, filters_of(request.query_params), language_of_request(request), after)

        async def allowed() -> bool:
            try:
                await require_operator(request, self._context)
            except HTTPException:
                return False
            return True

        return EventStream(events(wake, streams, self._context.clock, look.look, allowed), left)


class RenderedRows:
    """Rows of the log as HTML, the latest ones kept."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._kept: dict[tuple[str, str], str] = {}

    def row(self, entry: Entry, language: str) -> str:
        """One row."""
        key = (entry.id, language)
        html = self._kept.get(key)
        if html is None:
            if len(self._kept) >= MAX_RENDERED_ROWS:
                del self._kept[next(iter(self._kept))]
            html = self._kept[key] = self._pages.fragment(language, "rows.html", "log_row", entry)
        return html

    def incidents(self, incidents: dict[str, list[Incident]], language: str) -> str:
        """The whole list of incidents."""
        return self._pages.fragment(language, "rows.html", "incident_list", incidents)


class LogLook:
    """What one open page of the log has not shown yet."""

    def __init__(self, context: WebContext, rows: RenderedRows, filters: Filters, language: str, after: str) -> None:
        self._context = context
        self._rows = rows
        self._filters = filters
        self._language = language
        self._cursor = Cursor(after, context.clock)
        self._incidents: Sequence[Incident] | None = None

    async def look(self) -> list[Piece]:
        """New rows, oldest first; the incidents if they changed; a note when more came than is shown."""
        context = self._context
        known = self._cursor.last
        entries = await read_new(context.storage, context.ring(), self._filters, self._cursor.window(), MAX_ROWS_PER_LOOK)
        new = [entry for entry in entries if self._cursor.take(entry.id)]
        pieces = [
            Piece("row", self._rows.row(entry, self._language), entry.id) for entry in new if self._filters.let_through(entry)
        ]
        # The first look finds again what the page holds already, as far as it looks back: only a row after those can be missing.
        if len(new) >= MAX_ROWS_PER_LOOK and min(entry.id for entry in new) > known:
            pieces.append(Piece("gap", ""))
        incidents = await read_incidents(context.storage, to_ms(context.clock.now()))
        if incidents != self._incidents:
            self._incidents = incidents
            pieces.append(Piece("incidents", self._rows.incidents(_sorted_out(incidents), self._language)))
        return pieces


def _sorted_out(incidents: Sequence[Incident]) -> dict[str, list[Incident]]:
    """Those that need a cure, and those that a NAS causes by working as it does."""
    return {
        "troubles": [incident for incident in incidents if not harmless(incident)],
        "harmless": [incident for incident in incidents if harmless(incident)],
    }
