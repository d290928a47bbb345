"""How a node is doing: what its workers measure, asked together, for scrapers, probes and `wardgate top`.

Each worker has a `Vitals` (what it measures of itself) and answers its siblings at a Unix socket (`siblings.py`). `Node` is the
whole picture that any worker can give: the metrics of all, what keeps any from serving. `picture.py` adds what the database
tells, and `figures.py` turns two pictures into rates and percentiles, without I/O. Nothing here decides about a login, and
nothing here is needed to serve one. Imports storage's port and metrics. Begin with `node.py`.
"""
