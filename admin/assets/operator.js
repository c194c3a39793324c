// What a person may ask for, with the token: it goes into a header that no other
// page can set.

const kept = "pgcrm-token";

export class Operator {
  constructor(changed) {
    this.changed = changed; // called when actions become possible or cease to be
    this.token = sessionStorage.getItem(kept);
    this.dialog = document.getElementById("unlock-dialog");
    this.confirmDialog = document.getElementById("confirm-dialog");
    for (const dialog of [this.dialog, this.confirmDialog]) {
      dialog.querySelector('[value="cancel"]').addEventListener("click", () => dialog.close("cancel"));
    }
    this.dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.unlock(document.getElementById("token").value);
    });
  }

  get unlocked() {
    return this.token !== null;
  }

  ask() {
    document.getElementById("token").value = "";
    document.getElementById("unlock-error").textContent = "";
    this.dialog.showModal();
  }

  async unlock(token) {
    const error = document.getElementById("unlock-error");
    error.textContent = "";
    this.token = token;
    try {
      await this.post("/api/unlock", {});
      sessionStorage.setItem(kept, token);
      this.dialog.close("unlock");
    } catch (problem) {
      this.token = null;
      error.textContent = sentence(problem.message);
    }
    this.changed();
  }

  lock() {
    this.token = null;
    sessionStorage.removeItem(kept);
    this.changed();
  }

  /** post asks for something, and returns how many it concerned. */
  async post(path, body) {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${this.token}` },
      body: JSON.stringify(body),
    });
    const result = await answer.json().catch(() => ({}));
    if (answer.status === 401 && path !== "/api/unlock") this.lock();
    if (!answer.ok) throw new Error(result.error ?? `pgcrm answered ${answer.status}`);
    return result.concerned;
  }

  /** act does something after a question, and tells how it went. */
  async act({ title, text, verb, path, body, done }) {
    if (title && !(await this.confirm(title, text, verb))) return;
    try {
      toast(done(await this.post(path, body)));
    } catch (problem) {
      toast(sentence(problem.message), true);
    }
    this.changed();
  }

  confirm(title, text, verb) {
    document.getElementById("confirm-title").textContent = title;
    document.getElementById("confirm-text").textContent = text;
    document.getElementById("confirm-ok").textContent = verb;
    this.confirmDialog.returnValue = "";
    this.confirmDialog.showModal();
    return new Promise((resolve) => {
      this.confirmDialog.addEventListener("close", () => resolve(this.confirmDialog.returnValue === "ok"), { once: true });
    });
  }
}

function sentence(line) {
  return `${line.charAt(0).toUpperCase()}${line.slice(1)}.`;
}

let hiding;

export function toast(line, bad = false) {
  const box = document.getElementById("toast");
  box.textContent = line;
  box.className = bad ? "bad" : "";
  box.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { box.hidden = true; }, 6000);
}
