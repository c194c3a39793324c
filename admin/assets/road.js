// The road of a change, from the database to the CRM, with what is happening at
// each place on it now.
import { bytes, count, el, icon, meter, plural, rate, seconds, text } from "./show.js";

const paths = {
  database: "M4 6c0-1.7 3.6-3 8-3s8 1.3 8 3-3.6 3-8 3-8-1.3-8-3Zm0 0v12c0 1.7 3.6 3 8 3s8-1.3 8-3V6M4 12c0 1.7 3.6 3 8 3s8-1.3 8-3",
  slot: "M6 3h12v18l-6-4-6 4V3Z",
  mapping: "M4 6h6M4 12h6M4 18h6M14 6h6M14 18h6M10 6c2 0 2 6 4 6h6M10 12c1 0 1.5 2 2 3s1 3 2 3",
  queue: "M4 5h16M4 10h16M4 15h16M4 20h16",
  governor: "M3.5 17a9 9 0 1 1 17 0M12 14l4-5M12 14h.01",
  crm: "M12 21s-8-4.600-8-10.500A4.5 4.5 0 0 1 12 7.5a4.5 4.5 0 0 1 8 3C20 16.4 12 21 12 21Z",
};

const stations = [
  ["database", "Database"], ["slot", "Slot"], ["mapping", "Mapping"], ["queue", "Queue"], ["governor", "Governor"], ["crm", "CRM"],
];

/** Road draws the stations once and then puts figures in place. */
export class Road {
  constructor(root) {
    this.places = new Map();
    for (const [key, name] of stations) {
      const place = {
        root: el("li.station", { "data-station": key }),
        figure: el("p.figure"), caption: el("p.caption"), facts: el("dl"),
      };
      place.root.append(
        el("span.node", {}, icon(paths[key])),
        el("div.head", {}, el("h3", {}, name), place.figure, place.caption),
        place.facts,
      );
      this.places.set(key, place);
      root.append(place.root);
    }
  }

  /** show puts the figures of a status in place; rates are per second. */
  show(status, rates) {
    for (const [key] of stations) {
      const { figure, caption, facts, health } = describe[key](status, rates);
      const place = this.places.get(key);
      place.root.dataset.health = health;
      text(place.figure, figure);
      text(place.caption, caption);
      setFacts(place.facts, facts.filter(Boolean));
    }
    const moving = status.state === "streaming" || status.state === "loading";
    document.getElementById("road").classList.toggle("moving", moving && !refused(status));
  }
}

// setFacts changes what differs and leaves the rest alone.
function setFacts(list, facts) {
  const same = list.children.length === facts.length * 2 && facts.every(([name], i) => list.children[2 * i].textContent === name);
  if (!same) list.replaceChildren(...facts.flatMap(([name]) => [el("dt", {}, name), el("dd")]));
  facts.forEach(([, value, kind, part], i) => {
    const dd = list.children[2 * i + 1];
    dd.className = kind ?? "";
    if (part === undefined) {
      text(dd, value);
      return;
    }
    if (!dd.querySelector("progress")) dd.replaceChildren(el("span", {}, value), meter(part, facts[i][0]));
    text(dd.firstChild, value);
    const bar = dd.querySelector("progress");
    bar.value = 100 * Math.min(1, Math.max(0, part));
    bar.className = kind ?? "";
  });
}

// refused reports that nothing at all is sent. What is held, or a mapping that
// waits, stops its own records alone.
function refused(s) {
  return s.crm.paused.some((p) => !["held", "mapping"].includes(p.reason));
}

const describe = {
  database(s, rates) {
    return {
      figure: `${rate(rates.changes)}/s`,
      caption: "changes read",
      health: s.database.server ? "good" : "idle",
      facts: [
        s.database.server && ["Server", s.database.server.replace("PostgreSQL", "Postgres")],
        s.database.name && ["Database", s.database.name],
        s.log.server_lsn && ["Position", s.log.server_lsn, "mono"],
      ],
    };
  },

  slot(s) {
    const lost = s.slot.safe_wal_bytes;
    const well = ["reserved", "extended"].includes(s.slot.status);
    const kept = s.slot.retained_wal_bytes;
    return {
      figure: s.log.lag_bytes == null ? "–" : bytes(s.log.lag_bytes),
      caption: "behind the server",
      health: !s.slot.status ? "idle" : well ? "good" : "bad",
      facts: [
        s.slot.status && ["Status", s.slot.status, well ? "" : "bad"],
        kept != null && ["Log kept", bytes(kept)],
        ["Until lost", lost == null ? "no limit" : bytes(lost), lost != null && kept != null && lost < kept ? "warn" : ""],
        s.log.checkpoint_lsn && ["Checkpoint", s.log.checkpoint_lsn, "mono"],
      ],
    };
  },

  mapping(s, rates) {
    const tables = new Set(s.mappings.map((m) => m.table)).size;
    const objects = [...new Set(s.mappings.map((m) => m.object))].join(", ");
    return {
      figure: s.mappings.length ? count(s.mappings.length) : "–",
      caption: s.mappings.length === 1 ? "mapping" : "mappings",
      health: s.held.some((h) => !h.digest) || s.problems.length ? "bad" : s.mappings.length ? "good" : "idle",
      facts: [
        tables > 0 && ["From", plural(tables, "table", "tables")],
        objects && ["To", objects],
        ["Unchanged", `${rate(rates.unchanged)}/s`],
        ["Skipped", count(s.records.skipped ?? 0)],
      ],
    };
  },

  queue(s) {
    const q = s.queue;
    const part = q.limit_bytes ? q.bytes / q.limit_bytes : 0;
    return {
      figure: count(q.records),
      caption: q.records === 1 ? "record waits" : "records wait",
      health: s.state === "starting" ? "idle" : q.oldest_unsent_seconds > 60 ? "warn" : "good",
      facts: [
        ["Oldest", q.records ? seconds(q.oldest_unsent_seconds) : "–", q.oldest_unsent_seconds > 60 ? "warn" : ""],
        q.limit_bytes && ["Memory", `${bytes(q.bytes)} of ${bytes(q.limit_bytes)}`, part > 0.9 ? "warn" : "", part],
      ],
    };
  },

  governor(s) {
    const quota = new Map(s.crm.quota.map((q) => [q.window, q]));
    const [window, day] = [quota.get("10s"), quota.get("day")];
    const spent = day && (day.usable ?? day.remaining) <= 0;
    return {
      figure: window ? count(window.remaining) : "–",
      caption: window ? `of ${count(window.limit)} calls left in 10 s` : "calls left",
      health: !window ? "idle" : spent ? "bad" : window.remaining === 0 ? "warn" : "good",
      facts: [
        ["In flight", plural(s.queue.in_flight, "call", "calls")],
        day && ["Today", `${count(day.limit - day.remaining)} of ${count(day.limit)}`, spent ? "bad" : "", (day.limit - day.remaining) / Math.max(1, day.limit)],
        day?.usable != null && ["May use", plural(Math.max(0, day.usable), "more", "more"), spent ? "bad" : ""],
      ],
    };
  },

  crm(s, rates) {
    const parked = Object.values(s.parked).reduce((a, b) => a + b, 0);
    return {
      figure: `${rate(rates.delivered)}/s`,
      caption: "records delivered",
      health: !s.crm.portal ? "idle" : refused(s) ? "bad" : s.crm.paused.length ? "warn" : s.crm.accepts || s.state === "standby" ? "good" : "warn",
      facts: [
        s.crm.portal && ["Portal", s.crm.portal],
        ["Delivered", count(s.records.delivered ?? 0)],
        rates.median != null && ["Takes", `${seconds(rates.median)}, median`],
        ["Parked", count(parked), parked ? "warn" : ""],
      ],
    };
  },
};
