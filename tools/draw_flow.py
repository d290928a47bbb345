"""Draws docs/images/login.svg: one two-step RADIUS login, who says what to whom. Light and dark by the reader's setting."""

from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "login.svg"
LANES = (("Person", 90), ("Firewall (NAS)", 330), ("Wardgate", 590), ("SMS, mail or app", 850))
STEPS = (
    (0, 1, "user name and password", ""),
    (1, 2, "Access-Request", "signed by Message-Authenticator"),
    (2, 2, "directory: password right; policy: one more factor", ""),
    (2, 3, "one-time code (SMS, mail)", "from the outbox: nobody waits"),
    (2, 1, "Access-Challenge", "State, Reply-Message"),
    (1, 0, "Enter the code", ""),
    (3, 0, "the code", ""),
    (0, 1, "the code", ""),
    (1, 2, "Access-Request", "the code as User-Password, State"),
    (2, 2, "code claimed once, audit written, in one commit", ""),
    (2, 1, "Access-Accept", "groups and roles for the firewall"),
    (1, 0, "connected", ""),
)
WIDTH, TOP, ROW = 940, 78, 46
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #151d2b; } .small { font-size: 12px; fill: #4e5664; }
  .lane { stroke: #808693; stroke-dasharray: 3 5; } .box { fill: #ffffff; stroke: #808693; }
  .line { stroke: #1b56ca; stroke-width: 1.6; fill: none; } .head { fill: #1b56ca; } .ground { fill: #f5f8fc; }
  @media (prefers-color-scheme: dark) {
    text { fill: #eef0f4; } .small { fill: #a8aeba; } .lane { stroke: #6d7584; } .box { fill: #141a23; stroke: #6d7584; }
    .line { stroke: #6d9df5; } .head { fill: #6d9df5; } .ground { fill: #0c1118; }
  }
"""


def draw() -> str:
    """The picture."""
    height = TOP + ROW * len(STEPS) + 24
    title = "A two-step RADIUS login: password, challenge, one-time code, accept"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="12"/>',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">'
        '<path class="head" d="M0 0 8 4 0 8z"/></marker></defs>',
    ]
    for name, x in LANES:
        out.append(f'<line class="lane" x1="{x}" y1="52" x2="{x}" y2="{height - 14}"/>')
        out.append(f'<rect class="box" x="{x - 76}" y="18" width="152" height="34" rx="8"/>')
        out.append(f'<text x="{x}" y="40" text-anchor="middle">{name}</text>')
    for number, (start, end, text, small) in enumerate(STEPS):
        out += _step(TOP + ROW * number + 22, LANES[start][1], LANES[end][1], f"{number + 1}. {text}", small)
    return "\n".join([*out, "</svg>", ""])


def _step(y: int, start: int, end: int, text: str, small: str) -> list[str]:
    if start == end:
        half = 8 + round(len(text) * 3.6)
        return [
            f'<rect class="box" x="{start - half}" y="{y - 18}" width="{2 * half}" height="26" rx="8"/>',
            f'<text x="{start}" y="{y}" text-anchor="middle">{text}</text>',
        ]
    middle, direction = (start + end) / 2, 1 if end > start else -1
    lines = [
        f'<path class="line" marker-end="url(#head)" d="M{start + 4 * direction} {y} H{end - 4 * direction}"/>',
        f'<text x="{middle}" y="{y - 6}" text-anchor="middle">{text}</text>',
    ]
    return lines + ([f'<text class="small" x="{middle}" y="{y + 14}" text-anchor="middle">{small}</text>'] if small else [])


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(draw(), encoding="utf-8")
