// Makes pages live and times local. Every page works without this file; what only it can do is hidden until it runs.

const MAX_ROWS = 300;
const FRESH_MS = 1600;

const two = (number) => String(number).padStart(2, "0");

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.dataset.local = "";
    const [day, clock] = [time.querySelector(".day"), time.querySelector(".clock")];
    if (day) day.textContent = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    if (clock) clock.textContent = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  }
}

function nameZone() {
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const note of document.querySelectorAll(".zone[data-local]")) {
    if (zone) note.textContent = note.dataset.local.replace("{zone}", zone);
  }
}

function offerCopies(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("button.copy[hidden]")) button.hidden = false;
}

async function copy(button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    return; // the browser refused; the text stands beside the button
  }
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = before; }, 2000);
}

function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

class LiveList {
  constructor(panel) {
    this.panel = panel;
    this.list = document.getElementById(panel.dataset.list);
    this.state = panel.querySelector(".state");
    this.button = panel.querySelector(".pause");
    this.news = panel.querySelector(".news");
    this.source = null;
    this.paused = false;
    this.ended = false;
    this.counted = 0;
    this.lastId = "";
    this.button.addEventListener("click", () => this.pause(!this.paused));
    // A hidden tab holds no connection: browsers allow only a few to one server.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
    this.open();
  }

  open() {
    if (this.source || this.paused || this.ended || document.hidden) return;
    const address = new URL(this.panel.dataset.stream, location.href);
    if (this.lastId) address.searchParams.set("after", this.lastId);
    this.source = new EventSource(address);
    this.source.addEventListener("open", () => this.show("on"));
    this.source.addEventListener("error", () => this.failed());
    this.source.addEventListener("row", (event) => this.add(event));
    this.source.addEventListener("incidents", (event) => this.replace("incidents", event.data));
    this.source.addEventListener("gap", () => this.reveal("gap"));
  }

  close() {
    this.source?.close();
    this.source = null;
  }

  pause(paused) {
    this.paused = paused;
    this.button.textContent = paused ? this.panel.dataset.resume : this.panel.dataset.pause;
    if (paused) {
      this.close();
      this.show("paused");
    } else {
      this.open();
    }
  }

  failed() {
    if (this.source?.readyState !== EventSource.CLOSED) return this.show("lost");
    this.ended = true;
    this.close();
    this.show("ended");
  }

  show(state) {
    this.panel.classList.remove("on", "paused", "lost", "ended");
    this.panel.classList.add(state);
    this.state.textContent = this.panel.dataset[state];
    this.button.hidden = state === "ended";
    this.panel.querySelector(".reload").hidden = state !== "ended";
  }

  add(event) {
    if (event.lastEventId) this.lastId = event.lastEventId;
    const row = parsed(event.data).firstElementChild;
    if (!row) return;
    const known = document.getElementById(row.id);
    if (known && known.dataset.state === row.dataset.state) return;
    this.dress(row);
    if (known) return known.replaceWith(row);
    const after = [...this.list.children].find((each) => each.dataset.key < row.dataset.key);
    this.list.insertBefore(row, after ?? null);
    row.classList.add("fresh");
    setTimeout(() => row.classList.remove("fresh"), FRESH_MS);
    document.getElementById("empty")?.remove();
    document.querySelector(".columns[hidden]")?.removeAttribute("hidden");
    this.trim();
    this.announce();
  }

  dress(root) {
    localTimes(root);
    offerCopies(root);
  }

  trim() {
    // An opened row, or the one that has the focus, is being read: it stays.
    for (const row of [...this.list.children].slice(MAX_ROWS)) {
      if (!row.querySelector("details[open]") && !row.contains(document.activeElement)) row.remove();
    }
  }

  announce() {
    this.counted += 1;
    this.timer ??= setTimeout(() => {
      this.news.textContent = this.panel.dataset.news.replace("{n}", this.counted);
      this.counted = 0;
      this.timer = undefined;
    }, 3000);
  }

  replace(id, html) {
    const place = document.getElementById(id);
    if (!place) return;
    const open = place.querySelector("details")?.open;
    const content = parsed(html);
    this.dress(content);
    place.replaceChildren(content);
    if (open) place.querySelector("details")?.setAttribute("open", "");
  }

  reveal(id) {
    const note = document.getElementById(id);
    if (note) note.hidden = false;
  }
}

function offerShow() {
  for (const button of document.querySelectorAll("button.show[hidden]")) {
    const field = document.getElementById(button.dataset.show);
    const words = [button.textContent, button.dataset.shown];
    const names = [button.getAttribute("aria-label"), button.dataset.named];
    button.hidden = false;
    button.addEventListener("click", () => {
      const hidden = field.type === "password";
      field.type = hidden ? "text" : "password";
      button.textContent = words[Number(hidden)];
      button.setAttribute("aria-label", names[Number(hidden)]);
    });
    // What is typed must not be kept by the browser as an ordinary field's text.
    field.form.addEventListener("submit", () => { field.type = "password"; });
  }
}

// What a password has to be, as far as it can be told here; the server judges all of it. The word is for those who see no colour.
const RULES = {
  length: (typed, rule) => [...typed].length >= Number(rule.dataset.least),
  classes: (typed, rule, name) =>
    [/\p{Lu}/u, /\p{Ll}/u, /\d/, /[^\p{L}\d]/u].filter((kind) => kind.test(typed)).length >= 3 &&
    !(name.length > 2 && typed.toLowerCase().includes(name.toLowerCase())),
};

function markRules() {
  const list = document.querySelector(".rules[data-field]");
  const field = list && document.getElementById(list.dataset.field);
  if (!field) return;
  const name = field.form.elements.username?.value ?? "";
  field.addEventListener("input", () => {
    for (const rule of list.querySelectorAll("[data-rule]")) {
      const met = RULES[rule.dataset.rule](field.value, rule, name);
      rule.classList.toggle("met", met);
      rule.querySelector(".mark")?.remove();
      if (!met) continue;
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.textContent = ` ${list.dataset.met}`;
      rule.firstElementChild.append(mark);
    }
  });
}

function offerPrint() {
  for (const button of document.querySelectorAll("button.print[hidden]")) {
    button.hidden = false;
    button.addEventListener("click", () => print());
  }
}

// --- the end of a session that nobody uses is told before it comes. It is asked for first: somebody may have gone on in another tab.

const WARN_S = 120;
const ASK_AGAIN_S = 10;
const SAID_AT_S = [120, 60, 30, 10]; // not every second: who cannot see the page hears nothing else then

class Staying {
  constructor(form) {
    this.form = form;
    this.words = form.querySelector("[data-words]");
    form.addEventListener("submit", (event) => this.stay(event));
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
    this.plan(Number(form.dataset.left));
  }

  plan(left) {
    clearTimeout(this.timer);
    const warns = left <= WARN_S;
    this.form.hidden = !warns;
    this.words.textContent = warns ? this.words.dataset.words.replace("{s}", left) : "";
    const next = warns ? SAID_AT_S.find((each) => each < left) ?? 0 : WARN_S;
    this.timer = setTimeout(() => this.look(), Math.max(1, left - next) * 1000);
  }

  async look() {
    clearTimeout(this.timer);
    const left = await this.told(() => fetch(this.form.dataset.ask));
    if (left === 0) return location.reload();
    if (left === undefined) this.timer = setTimeout(() => this.look(), ASK_AGAIN_S * 1000);
    else this.plan(left);
  }

  async stay(event) {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(this.form));
    const left = await this.told(() => fetch(this.form.action, { method: "POST", body }));
    if (left) return this.plan(left);
    location.reload();
  }

  async told(ask) {
    try {
      return (await (await ask()).json()).left_s;
    } catch {
      return undefined; // no way to the server just now, or a page instead of the number
    }
  }
}

// --- passkeys: the server's question goes to the browser, and what that says back by the forms of the page. In this file and not in
// one of its own, because the sign-in page asks for them: each request more is one more to wait for.

const can = globalThis.PublicKeyCredential;
const NOT_USED = ["NotAllowedError", "AbortError"];
let waiting = null; // what ends the autofill's question, before a button asks its own

const part = (form, name) => form.querySelector(`[data-part="${name}"]`);

function tell(form, name) {
  for (const told of form.querySelectorAll(".passkey-told")) told.hidden = told.dataset.part !== name;
}

function send(form, credential) {
  part(form, "answer").value = JSON.stringify(credential.toJSON());
  form.submit();
}

async function asked(form) {
  if (form.dataset.options) return JSON.parse(form.dataset.options);
  const reply = await fetch(form.dataset.ask, { headers: { accept: "application/json" }, credentials: "same-origin" });
  if (!reply.ok) throw new Error("no question");
  return reply.json();
}

async function use(form, mediation) {
  waiting?.abort();
  const mine = new AbortController();
  waiting = mine;
  try {
    const publicKey = can.parseRequestOptionsFromJSON(await asked(form));
    send(form, await navigator.credentials.get({ publicKey, mediation, signal: mine.signal }));
  } catch (error) {
    // What the person breaks off is no failed try, and an autofill that he did not touch is nothing at all.
    if (mediation === "optional") tell(form, NOT_USED.includes(error.name) ? "cancelled" : "unsupported");
  }
}

async function make(form) {
  try {
    const publicKey = can.parseCreationOptionsFromJSON(await asked(form));
    send(form, await navigator.credentials.create({ publicKey }));
  } catch (error) {
    const known = { InvalidStateError: "exists", NotAllowedError: "cancelled", AbortError: "cancelled" };
    tell(form, known[error.name] ?? "unsupported");
  }
}

function forget(form) {
  // The browser need not offer any more what is not known here.
  const { forget: credentialId } = form.dataset;
  if (credentialId) can.signalUnknownCredential?.({ rpId: location.hostname, credentialId }).catch(() => null);
}

async function offer(form) {
  form.hidden = part(form, "button").hidden = false;
  for (const shown of form.querySelectorAll("[data-part=without]")) shown.hidden = true;
  const making = form.dataset.does === "make";
  part(form, "button").addEventListener("click", () => (making ? make(form) : use(form, "optional")));
  forget(form);
  const field = form.dataset.autofill && document.getElementById(form.dataset.autofill);
  if (!field || !(await can.isConditionalMediationAvailable?.())) return;
  field.autocomplete = "username webauthn";
  use(form, "conditional");
}

// What is handed to an application goes by itself, once; whoever comes back to this page decides for himself.
function hand() {
  const [entry] = performance.getEntriesByType("navigation");
  if (entry?.type === "back_forward") return;
  document.querySelector("form[data-send]")?.requestSubmit();
  document.querySelector("a[data-send]")?.click();
}

localTimes(document);
hand();
nameZone();
offerShow();
offerPrint();
markRules();
offerCopies(document);
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button.copy");
  if (button) copy(button);
});
for (const form of document.querySelectorAll("form.staying")) new Staying(form);
for (const panel of document.querySelectorAll(".live[data-stream]")) new LiveList(panel);
if (can?.parseRequestOptionsFromJSON) {
  for (const form of document.querySelectorAll("form.passkey")) offer(form);
}
// A page from the back-forward cache is old, and may be one that has been closed since.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
