// The parked records, grouped by the reason. A group is read when it is opened.
import { age, clock, count, el, plural, text } from "./show.js";

// What each category means, and what helps.
const meanings = {
  not_found: "The CRM has no such record. It is looked for again by itself and delivered whole once it exists; on_missing: create would make it.",
  invalid_option: "The value is no option of the property. Add the option in the CRM, or map it with values, then retry.",
  invalid_value: "The value cannot be written as the property's type. Correct the row or the mapping.",
  too_long: "The value is longer than the property takes. on_overflow: truncate would cut it.",
  invalid_key: "The match column's value cannot address a record. Correct the row.",
  conflict: "Another record has the value that must be unique. Merge or correct one of them, then retry.",
  required: "The portal requires a property that the record lacks. Map it, then retry.",
  too_large: "The request is too large even for one record. Map less, or cut the values.",
  unaccounted: "No answer ever said what became of the record. Retry sends it again.",
  refused: "The CRM refused the record for another reason, in its own words.",
};

export class Letters {
  constructor(root, operator) {
    this.root = root;
    this.operator = operator;
    this.groups = new Map();
    this.values = false;
  }

  /** show puts the counts in place, and reads open groups again where theirs changed. */
  show(page) {
    this.page = page;
    this.values = page.values;
    const parked = Object.entries(page.status.parked).filter(([, n]) => n > 0).sort(([a, n], [b, m]) => m - n || a.localeCompare(b));
    const total = parked.reduce((sum, [, n]) => sum + n, 0);
    text(document.getElementById("parked-count"), total ? count(total) : "");
    text(document.getElementById("parked-note"), total ? this.note(page) : "Nothing is parked. A record or a property that the CRM or the mapping refuses waits here, with its reason; the rest is delivered.");
    document.getElementById("unlock").hidden = !page.actions || total + page.status.held.filter((h) => h.digest).length === 0;
    text(document.getElementById("unlock"), this.operator.unlocked ? "Lock actions" : "Unlock actions");
    for (const [category, n] of parked) {
      const group = this.groups.get(category) ?? this.add(category);
      if (group.n === n) continue;
      group.n = n;
      text(group.count, count(n));
      if (group.details.open) this.read(group);
    }
    for (const [category, group] of this.groups) {
      if (parked.some(([c]) => c === category)) continue;
      group.details.remove();
      this.groups.delete(category);
    }
    // A group that is in its place is not moved: that would close what has the focus.
    parked.forEach(([category], i) => {
      const { details } = this.groups.get(category);
      if (this.root.children[i] !== details) this.root.insertBefore(details, this.root.children[i] ?? null);
    });
  }

  note(page) {
    if (!page.actions) return "Each closes by itself once a newer version of its row is delivered. To retry or drop them here set PGCRM_ADMIN_TOKEN, or use pgcrm dlq in a terminal.";
    return "Each closes by itself once a newer version of its row is delivered. A retry reads the row as it is now.";
  }

  /** refresh draws again what depends on the token. */
  refresh() {
    if (this.page) this.show(this.page);
    for (const group of this.groups.values()) if (group.details.open) this.read(group);
  }

  add(category) {
    const group = { category, n: -1, count: el("span.count"), body: el("div.letters") };
    group.details = el("details.group", { "data-category": category },
      el("summary", {}, el("span.title", {}, category.replaceAll("_", " ")), group.count),
      el("p.meaning", {}, meanings[category] ?? "pgcrm dlq list shows the reason."), group.body);
    group.details.addEventListener("toggle", () => { if (group.details.open) this.read(group); });
    this.groups.set(category, group);
    return group;
  }

  async read(group) {
    const turn = (group.turn ?? 0) + 1;
    group.turn = turn;
    let list;
    try {
      const answer = await fetch(`/api/letters?category=${encodeURIComponent(group.category)}`, { cache: "no-store" });
      list = await answer.json();
      if (!answer.ok) throw new Error(list.error);
    } catch (problem) {
      group.body.replaceChildren(el("p.error", {}, problem.message));
      return;
    }
    if (turn !== group.turn) return; // a later question is under way
    const rows = list.letters.map((l) => this.row(l));
    group.body.replaceChildren(
      this.buttons(group),
      el("div.scroll", {}, el("table", {}, el("thead", {}, el("tr", {}, ...this.columns().map((c) => el("th", { scope: "col" }, c)))), el("tbody", {}, ...rows))),
      list.more ? el("p.note", {}, `These are the first ${list.letters.length}; pgcrm dlq list --reason ${group.category} shows all.`) : "",
      this.values ? "" : el("p.note", {}, "Keys and reasons may hold values of rows and are hidden. pgcrm dlq show NUMBER tells them; so does this page with PGCRM_SHOW_VALUES=true."),
    );
  }

  columns() {
    return ["No.", "Table", ...(this.values ? ["Key"] : []), "Object", "Property", ...(this.values ? ["Reason"] : []), "First seen", "Last seen", "Tries", ...(this.operator.unlocked ? [""] : [])];
  }

  row(l) {
    const now = this.page.status.at;
    const moment = (at) => el("time", { datetime: at, title: clock(at, now) }, `${age(at, now)} ago`);
    const what = l.property || (l.owed?.length ? `record: ${l.owed.join(", ")}` : "whole record");
    const cells = [
      el("td.n", { "data-label": "No." }, String(l.id)), el("td", {}, l.table), this.values && el("td.mono", { "data-label": "key" }, l.key || l.row || "–"),
      el("td", {}, l.object), el("td.what", {}, what), this.values && el("td.reason", {}, l.reason ?? ""),
      el("td.n", { "data-label": "first seen" }, moment(l.first_seen)), el("td.n", { "data-label": "last seen" }, moment(l.last_seen)),
      el("td.n", { "data-label": "tries" }, String(l.attempts)),
    ];
    if (this.operator.unlocked) {
      cells.push(el("td.act", {},
        el("button.quiet", { type: "button", "aria-label": `Retry ${l.id}`, onclick: () => this.retry({ ids: [l.id] }) }, "Retry"),
        el("button.quiet", { type: "button", "aria-label": `Drop ${l.id}`, onclick: () => this.drop({ ids: [l.id] }, `Drop parked record ${l.id}?`) }, "Drop")));
    }
    return el("tr", {}, ...cells.filter(Boolean));
  }

  buttons(group) {
    if (!this.operator.unlocked) return "";
    return el("div.buttons", {},
      el("button.quiet", { type: "button", onclick: () => this.retry({ category: group.category }) }, "Retry all"),
      el("button.quiet", { type: "button", onclick: () => this.drop({ category: group.category }, `Drop all ${plural(group.n, "record", "records")} parked as ${group.category.replaceAll("_", " ")}?`) }, "Drop all"));
  }

  retry(body) {
    this.operator.act({
      path: "/api/letters/retry", body,
      done: (n) => (n ? `Asked: the rows of ${plural(n, "parked record is", "parked records are")} read again and sent.` : "Nothing such is parked any more."),
    });
  }

  drop(body, title) {
    this.operator.act({
      title, text: "What it owes the CRM stays undone until the row changes again.", verb: "Drop",
      path: "/api/letters/drop", body,
      done: (n) => (n ? `Dropped ${plural(n, "parked record", "parked records")}.` : "Nothing such is parked any more."),
    });
  }
}
