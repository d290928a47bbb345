"""Draws docs/images/processes.svg: who runs on a machine and who speaks to whom, on SQLite and on PostgreSQL."""

from tools.draw_flow import STYLE, TARGET, WIDTH

HEIGHT = 470
TITLE = "Processes: on SQLite a supervisor, workers and one writer; on PostgreSQL several nodes with workers"


def draw() -> str:
    """The picture."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{TITLE}">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="12"/>',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">'
        '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>',
        *_one_machine(),
        *_two_nodes(),
    ]
    return "\n".join([*out, "</svg>", ""])


def _one_machine() -> list[str]:
    return [
        *_box(188, 18, 180, "NAS, browsers"),
        *_machine(14, 90, 442, 270, "one machine, SQLite"),
        *_box(96, 160, 124, "worker 0"),
        *_box(246, 160, 124, "worker 1"),
        *_box(388, 160, 112, "supervisor"),
        *_box(171, 290, 124, "writer"),
        *_box(171, 410, 180, "wardgate.db"),
        *_arrow("M170 52 L100 156", "M206 52 L244 156"),
        *_arrow("M100 194 L150 286", "M242 194 L190 286"),
        *_arrow("M171 324 V406"),
        *_dashed("M332 177 H310", "M388 194 V307 H235"),
        *_small(352, 78, "UDP and HTTPS, by source port"),
        *_small(66, 246, "units"),
        *_small(276, 246, "units"),
        *_small(330, 326, "starts, replaces"),
        *_small(262, 384, "one sync for all that wait"),
        *_small(350, 432, "workers read it themselves"),
    ]


def _two_nodes() -> list[str]:
    out = [*_box(705, 18, 180, "NAS, browsers")]
    for left, name in ((484, "node a"), (714, "node b")):
        middle = left + 106
        out += [
            *_machine(left, 90, 212, 200, name),
            *_box(middle - 50, 120, 92, "worker 0"),
            *_box(middle + 50, 120, 92, "worker 1"),
            *_box(middle, 204, 112, "supervisor"),
            *_arrow(f"M{705 + (18 if left > 600 else -18)} 52 L{middle} 86"),
            *_dashed(f"M{middle - 20} 204 L{middle - 50} 158", f"M{middle + 20} 204 L{middle + 50} 158"),
            *_arrow(f"M{middle} 290 V406"),
        ]
    return [
        *out,
        *_box(705, 410, 330, "PostgreSQL"),
        *_small(705, 328, "each worker: units, in batches"),
        *_small(705, 348, "announcements (LISTEN, NOTIFY)"),
        *_small(705, 368, "leases: one does a job for all"),
    ]


def _box(x: int, y: int, width: int, text: str) -> list[str]:
    return [
        f'<rect class="box" x="{x - width // 2}" y="{y}" width="{width}" height="34" rx="8"/>',
        f'<text x="{x}" y="{y + 22}" text-anchor="middle">{text}</text>',
    ]


def _machine(x: int, y: int, width: int, height: int, text: str) -> list[str]:
    return [
        f'<rect class="lane" fill="none" x="{x}" y="{y}" width="{width}" height="{height}" rx="12"/>',
        f'<text class="small" x="{x + 12}" y="{y + height - 12}">{text}</text>',
    ]


def _arrow(*paths: str) -> list[str]:
    return [f'<path class="line" marker-end="url(#head)" d="{path}"/>' for path in paths]


def _dashed(*paths: str) -> list[str]:
    return [f'<path class="line" stroke-dasharray="4 4" marker-end="url(#head)" d="{path}"/>' for path in paths]


def _small(x: int, y: int, text: str) -> list[str]:
    return [f'<text class="small" x="{x}" y="{y}" text-anchor="middle">{text}</text>']


if __name__ == "__main__":
    TARGET.with_name("processes.svg").write_text(draw(), encoding="utf-8")
