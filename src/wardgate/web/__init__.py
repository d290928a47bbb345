"""The HTTPS door's pages: health, metrics, the demo's start page and outbox, and the live login log.

`app.py` puts the routes together, `server.py` serves them inside our own loop, `connection.py` and `tls.py` bound what one
connection may take, `headers.py` and `access.py` hold what keeps strangers out, `log.py` and `feed.py` are the live log, `view.py`
turns stored rows into what a page shows. Pages are rendered on the server and work without script; `static/page.js` only makes
them live. May import storage's port, audit, delivery's list of messages, admin's links, texts, metrics, clock, crypto; never the
engine or another door.
"""
