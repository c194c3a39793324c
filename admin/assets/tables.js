// Backfills, and the last deliveries.
import { clock, count, el, meter, seconds, text } from "./show.js";

/** backfills shows the loads under way. */
export function backfills(list) {
  const section = document.getElementById("backfills");
  section.hidden = list.length === 0;
  const root = document.getElementById("backfill-list");
  root.replaceChildren(...list.map((b) => {
    const part = b.estimate ? b.rows / b.estimate : null;
    const left = b.waiting ? `waits: ${b.waiting}` : b.remaining_seconds != null ? `about ${seconds(Math.max(1, b.remaining_seconds))} left` : "under way";
    return el("div.backfill", {},
      el("p.what", {}, el("strong", {}, b.table), el("span.soft", {}, ` no. ${b.id}`)),
      el("p.rows", {}, b.estimate ? `${count(b.rows)} of about ${count(Math.max(b.estimate, b.rows))} rows` : `${count(b.rows)} rows`),
      part == null ? el("progress", { "aria-label": `Rows of ${b.table}` }) : meter(part, `Rows of ${b.table}`),
      el("p.left", {}, left));
  }));
}

const shown = 20;
const rows = [];

/** deliveries adds what has arrived, the newest on top. */
export function deliveries(page) {
  const note = document.getElementById("delivered-note");
  const root = document.getElementById("deliveries");
  for (const d of page.deliveries.toReversed()) rows.unshift(row(d, page));
  rows.splice(shown);
  if (rows.length === 0) {
    const standby = page.status.state === "standby";
    text(note, standby ? "Another instance delivers; this one takes over when it ends." : "Nothing was delivered since the start. The next row that changes shows here.");
    return;
  }
  text(note, page.values ? "" : "Values are hidden; PGCRM_SHOW_VALUES=true shows them.");
  if (page.deliveries.length === 0) return;
  if (!root.firstChild) {
    root.append(el("table", {}, el("thead", {}, el("tr", {},
      ...["At", "Table", ...(page.values ? ["Row"] : []), "Object", "Properties", "Took"].map((c) => el("th", { scope: "col" }, c)))), el("tbody")));
  }
  root.querySelector("tbody").replaceChildren(...rows);
}

function row(d, page) {
  const properties = d.properties.flatMap((p, i) => {
    const value = p.cleared ? " cleared" : p.value != null ? ` ${p.value}` : "";
    return [i ? ", " : "", el("span", {}, p.name), value && el("span.soft", {}, value)];
  });
  return el("tr", {},
    el("td.n", {}, clock(d.at, page.status.at)), el("td", {}, d.table), page.values && el("td.mono", {}, d.row ?? ""),
    el("td", {}, d.object), el("td.properties", {}, ...properties.filter(Boolean)),
    el("td.n", {}, d.load ? "load" : seconds(d.latency_seconds)));
}
