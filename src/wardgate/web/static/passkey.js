// Passkeys: hands the server's question to the browser and what it says back to the server, by the forms of the page.
// Without this file, or in a browser without passkeys, what needs it stays hidden and the other ways stand there.

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

if (can?.parseRequestOptionsFromJSON) {
  for (const form of document.querySelectorAll("form.passkey")) offer(form);
}
