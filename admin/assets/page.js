// Fetches the page again every two seconds and puts its figures in place. The
// server escapes every value, and a parsed document runs no script.
"use strict";

const every = 2000;

async function refresh() {
  const silent = document.getElementById("silent");
  try {
    const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const live = document.getElementById("live");
    const selecting = String(document.getSelection()).length > 0;
    if (!selecting) {
      const focused = live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      live.replaceChildren(...fresh.getElementById("live").childNodes);
      if (focused) live.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
      document.title = fresh.title;
    }
    silent.hidden = true;
  } catch {
    silent.hidden = false;
  }
}

async function turn() {
  if (!document.hidden) await refresh();
  setTimeout(turn, every);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setTimeout(turn, every);
